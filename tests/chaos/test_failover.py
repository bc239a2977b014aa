"""What outlives the database's machine: a standby that takes over, a recovery to a moment.

Both are done as docs/operating.md says, with PostgreSQL's own programs.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from gateway.models import Body, Delivery
from mailrouting import postgres
from mailrouting.embedded import database_url
from tenants.models import Target
from tests.chaos import clusters
from tests.chaos.load import Load
from tests.e2e import mail
from tests.e2e.conftest import pointed_at
from tests.gateway import outbox, worker
from tests.gateway.process import gateway_process
from tests.gateway.sink import Sink
from tests.gateway.stage import Stage
from tests.waiting import wait_until

CONNECTIONS = 10
AWAY_SECONDS = 10  # at most, from the kill of the primary to the next 250
MESSAGES = 20


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mailrouting-failover-") as name:
        Path(name).chmod(0o711)  # the servers' own account passes through
        yield Path(name)


@pytest.fixture(scope="module")
def template(folder: Path, django_db_blocker: DjangoDbBlocker) -> Path:
    """A cluster with this version's tables."""
    root = folder / "template"
    with postgres.cluster(root) as url, django_db_blocker.unblock(), pointed_at(url):
        call_command("migrate", verbosity=0)
    return root


@pytest.fixture
def primary(
    folder: Path, template: Path, request: pytest.FixtureRequest, socket_enabled: None
) -> Path:
    root = folder / request.node.name[:20]
    clusters.copy(template, root)
    return root


@pytest.fixture
def models(django_db_blocker: DjangoDbBlocker) -> "Iterator[Callable[[str], None]]":
    """Points the models of this thread at another database from now on."""
    with django_db_blocker.unblock(), ExitStack() as stack:
        yield lambda url: stack.enter_context(pointed_at(url))


# --- failover -------------------------------------------------------------------


def test_standby_takes_over_and_nothing_acknowledged_is_lost(
    primary: Path, folder: Path, models: Callable[[str], None], tmp_path: Path
) -> None:
    standby = folder / "standby"
    either = clusters.either_url(primary, standby)
    with postgres.running(primary) as first, standby_of(primary, standby):
        models(database_url(primary))
        stage = Stage()
        stage.alias("hello")
        recipient = stage.address("hello")
        with gateway_process(tmp_path, DATABASE_URL=either) as gateway:
            assert_commit_waits_for_standby(standby, primary, gateway.port, recipient)
            load = Load((gateway.port,), (recipient,), CONNECTIONS, pause_seconds=0.02)
            away_seconds = asyncio.run(fail_over(load, first, standby))
        models(database_url(standby))
        found = names_of_stored()

    sys.stderr.write(
        f"\n{len(load.accepted)} accepted of {dict(load.replies)}, {load.cut} cut; "
        f"{away_seconds:.1f} s without the database\n"
    )
    assert not load.accepted.keys() - found, "answered 250 and lost"
    assert {reply[:3] for reply in load.replies} == {"250", "451"}
    assert load.cut == 0
    assert away_seconds < AWAY_SECONDS


@contextmanager
def standby_of(primary: Path, standby: Path) -> Iterator[None]:
    """A running standby, which every commit of the primary waits for."""
    clusters.base_backup(primary, standby, "-R")
    with postgres.running(standby):
        clusters.ask(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        clusters.ask(primary, "SELECT pg_reload_conf()")
        clusters.wait_for(
            primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        )
        yield


def assert_commit_waits_for_standby(
    standby: Path, primary: Path, port: int, recipient: str
) -> None:
    """While the standby takes nothing, nothing is answered 250."""
    said: list[str] = []
    sender = threading.Thread(target=lambda: said.append(mail.send(port, recipient)))
    with clusters.frozen(clusters.ask(standby, "SELECT pid FROM pg_stat_wal_receiver")):
        sender.start()
        clusters.wait_for(
            primary, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )
        assert not said
    sender.join()
    assert said[0].startswith("250")


async def fail_over(load: Load, primary: postgres.Server, standby: Path) -> float:
    """Kill the primary under load and promote the standby; seconds until mail is taken again."""
    senders = asyncio.create_task(load.run())
    await accepted(load, 100)
    killed = time.monotonic()
    await asyncio.to_thread(clusters.kill, primary)
    before = len(load.accepted)
    await refused(load)
    await asyncio.to_thread(clusters.ask, standby, "SELECT pg_promote()")
    await accepted(load, before + 1)
    away_seconds = time.monotonic() - killed
    await accepted(load, before + 100)
    load.stop()
    await senders
    return away_seconds


async def accepted(load: Load, count: int) -> None:
    await asyncio.to_thread(wait_until, lambda: len(load.accepted) >= count)


async def refused(load: Load) -> None:
    await asyncio.to_thread(wait_until, lambda: len(load.replies) > 1)


def names_of_stored() -> set[str]:
    bodies = Body.objects.values_list("octets", flat=True)
    found = (re.search(rb"^X-Load: (\S+)\r$", bytes(octets), re.MULTILINE) for octets in bodies)
    return {each[1].decode() for each in found if each}


# --- recovery -------------------------------------------------------------------


def test_recovery_to_a_moment_brings_back_what_was_deleted_after_it(
    primary: Path, folder: Path, models: Callable[[str], None], sink: Sink, tmp_path: Path
) -> None:
    archive, recovered = clusters.folder_for(primary, "archive"), folder / "recovered"
    clusters.configure(
        primary, archive_mode="on", archive_command=f"test ! -f {archive}/%f && cp %p {archive}/%f"
    )
    with postgres.running(primary) as server:
        url = database_url(primary)
        models(url)
        recipient = address_at(sink)
        with gateway_process(tmp_path, DATABASE_URL=url) as gateway:
            before = [mail.send(gateway.port, recipient) for _ in range(MESSAGES // 2)]
            clusters.base_backup(primary, recovered)
            before += [mail.send(gateway.port, recipient) for _ in range(MESSAGES // 2)]
            moment = clusters.ask(primary, "SELECT clock_timestamp()::text")
            outbox.empty()  # somebody's mistake
            later = mail.send(gateway.port, recipient)
        archive_all(primary)
        clusters.kill(server)

    assert all(reply.startswith("250") for reply in [*before, later])
    recover(recovered, archive, moment)
    with postgres.running(recovered):
        clusters.wait_for(recovered, "SELECT NOT pg_is_in_recovery()")
        models(database_url(recovered))
        assert queued() == {reply.split()[-1] for reply in before}
        drain(tmp_path)
        assert len(sink.received) == MESSAGES
        with gateway_process(tmp_path, DATABASE_URL=database_url(recovered)) as gateway:
            assert mail.send(gateway.port, recipient).startswith("250")


def address_at(sink: Sink) -> str:
    """An address whose mailbox is at the sink."""
    stage = Stage()
    box = stage.mailbox("box@store.example", port=sink.port)
    stage.alias("hello", Target(kind="mailbox", mailbox=box))
    return stage.address("hello")


def archive_all(primary: Path) -> None:
    """Let the archive have everything that was committed so far."""
    name = clusters.ask(primary, "SELECT pg_walfile_name(pg_switch_wal())")
    wait_until(
        lambda: (
            (clusters.ask(primary, "SELECT last_archived_wal FROM pg_stat_archiver") or "") >= name
        )
    )


def recover(root: Path, archive: Path, moment: str) -> None:
    """Have a base backup go on to this moment with what was archived, at its next start."""
    clusters.configure(
        root,
        archive_mode="off",
        restore_command=f"cp {archive}/%f %p",
        recovery_target_time=moment,
        recovery_target_action="promote",
    )
    clusters.signal_file(root, "recovery.signal")


def queued() -> set[str]:
    """The queue ids of what waits to be delivered."""
    waiting = Delivery.objects.filter(state=Delivery.State.PENDING)
    return set(waiting.values_list("message__queue_id", flat=True))


def drain(folder: Path) -> None:
    """Deliver what is due, in a process of its own."""
    subprocess.run(
        [sys.executable, "-c", worker.DRAIN],
        check=True,
        capture_output=True,
        env=worker.environment(folder),
    )
