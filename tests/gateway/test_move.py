"""`manage.py move`: the try-out's PostgreSQL, and another one that its mail goes on in."""

import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoDbBlocker

from mailrouting import backup
from mailrouting.children import hold
from mailrouting.installation import known_migrations
from mailrouting.postgres import cluster
from mailrouting.supervisor import choose_free
from tests.databases import empty_database, one, url_of
from tests.gateway import outbox
from tests.gateway.stage import Stage

OCTETS = b"Subject: \x00\xff\r\n\r\nwaits\r\n"
STATE = "SELECT state FROM gateway_delivery WHERE id = %s"
BODY = (
    "SELECT octets FROM gateway_body b JOIN gateway_delivery d ON d.message_id = b.id"
    " WHERE d.id = %s"
)
ADDRESSES = "SELECT count(*) FROM tenants_address WHERE key = %s"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


def silent(_done: int, _total: int, _text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class TryOut:
    """A data folder as `make run` leaves it: a stopped cluster, in which mail waits."""

    root: Path
    key: str
    waiting: UUID


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[TryOut]:
    # Below /tmp itself, since PostgreSQL's account may not enter pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="mailrouting-move-") as name:
        root = Path(name)
        with django_db_blocker.unblock():
            outbox.empty()
            alias = Stage().alias("moved")
            (waiting,) = outbox.put(octets=OCTETS)
            backup.back_up(url_of(), root / "copy", silent)
        with cluster(root, durable=False) as url:
            backup.restore(root / "copy", url, known_migrations(), silent, keeps_queue=True)
        yield TryOut(root, alias.key, waiting.pk)


@pytest.fixture
def tryout(made: TryOut, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TryOut]:
    """The configured installation."""
    settings.DATA_DIR = made.root
    monkeypatch.delenv("DATABASE_URL")
    yield made
    (made.root / "moved.env").unlink(missing_ok=True)


@pytest.fixture
def elsewhere(database: None) -> Iterator[str]:
    """An empty database of another server."""
    with empty_database() as url:
        yield url


def move(url: str) -> str:
    said = StringIO()
    call_command("move", url, stdout=said)
    return said.getvalue()


def test_everything_is_moved_and_what_waits_goes_on(
    tryout: TryOut, elsewhere: str, settings: Any
) -> None:
    said = move(elsewhere)

    moved = tryout.root / "moved.env"
    assert one(elsewhere, STATE, tryout.waiting) == "pending"
    assert one(elsewhere, BODY, tryout.waiting) == OCTETS
    assert one(elsewhere, ADDRESSES, tryout.key) == 1
    assert f"DATABASE_URL={elsewhere}\nSECRET_KEY={settings.SECRET_KEY}\n" == moved.read_text()
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600
    assert str(moved) in said
    assert not list(tryout.root.glob("tmp*")), "the copy on the way is gone"
    with cluster(tryout.root, durable=False) as old:
        assert one(old, STATE, tryout.waiting) == "pending", "the old data stay"


def test_folder_in_use_is_refused(tryout: TryOut, elsewhere: str) -> None:
    """`make run` holds it; a half of what it stores meanwhile would be lost."""
    with hold(tryout.root, "up"), pytest.raises(CommandError, match="already runs"):
        move(elsewhere)
    assert one(elsewhere, TABLES) == 0
    assert not (tryout.root / "moved.env").exists()


def test_target_that_holds_tables_is_left_alone(tryout: TryOut, elsewhere: str) -> None:
    with psycopg.connect(elsewhere) as session:
        session.execute("CREATE TABLE taken ()")
    with pytest.raises(CommandError, match="holds tables already"):
        move(elsewhere)
    assert one(elsewhere, TABLES) == 1
    assert not (tryout.root / "moved.env").exists()


def test_target_that_does_not_answer_is_said_in_a_sentence(tryout: TryOut) -> None:
    (port,) = choose_free(["127.0.0.1"])
    with pytest.raises(CommandError, match=r"does not answer: .*refused"):
        move(f"postgresql://mail:secret@127.0.0.1:{port}/mail")
    assert not (tryout.root / "moved.env").exists()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [("mysql://localhost/mail", "is written postgresql://"), ("", "is written postgresql://")],
)
def test_address_of_another_kind_is_refused(tryout: TryOut, url: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        move(url)


def test_installation_with_a_database_of_its_own_is_sent_to_backup(
    tryout: TryOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/mail")
    with pytest.raises(CommandError, match="use backup and restore"):
        move("postgresql://localhost/other")


def test_folder_without_a_database_has_nothing_to_move(
    tryout: TryOut, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    with pytest.raises(CommandError, match="nothing to move"):
        move("postgresql://localhost/mail")
