"""Failures that other tests provoke inside, provoked here behind a real socket, both ways.

Trouble of ours at each command, disks that are full, clocks that differ, clients told apart by
/64, chunks that drip, limits of one session that another one must not move.
"""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from gateway import link
from gateway.link import Link
from gateway.models import Message
from gateway.routing import replies
from gateway.spool import Spool
from tests.gateway.live import LiveGateway, Wire
from tests.gateway.stage import Stage
from tests.gateway.test_smtpd import message_of, stored_octets
from tests.waiting import wait_until

Opener = Callable[..., LiveGateway]
CONTENT = b"Subject: x\r\n\r\nx\r\n"


def begin(gateway: LiveGateway, stage: Stage) -> Wire:
    """A transaction with one recipient, ready for DATA or BDAT."""
    stage.alias("hello")
    return gateway.talk(
        f"C: MAIL FROM:<a@b.example>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250"
    )


def is_stored(stage: Stage) -> bool:
    return Message.objects.filter(records__domain=stage.domain).exists()


# --- open relay ---------------------------------------------------------------


@pytest.mark.parametrize(
    "recipient",
    [
        "x@elsewhere.example.",
        "X@ELSEWHERE.EXAMPLE",
        "x@xn--bcher-kva.example",
        "x@[IPv6:::1]",
        '"x"@elsewhere.example',
        "x@localhost.elsewhere.example",
    ],
)
def test_foreign_domain_is_foreign_in_every_spelling(gateway: LiveGateway, recipient: str):
    assert gateway.send(recipient) == str(replies.RELAY_DENIED)


def test_foreign_domain_is_foreign_in_its_own_script(gateway: LiveGateway):
    denied = gateway.send("x@bücher.example", parameters=" SMTPUTF8")

    assert denied == str(replies.RELAY_DENIED)


def test_domain_below_another_tenant_s_shares_nothing_with_it(gateway: LiveGateway, database: None):
    parent, child = Stage(), Stage()
    below = child.add_domain(f"sub.{parent.domain.name}")
    parent.alias("both")
    parent.alias("only")
    child.domain = below
    child.alias("both")

    for stage in (parent, child):
        message = message_of(gateway.send(stage.address("both")))
        assert {record.tenant_id for record in message.records.all()} == {stage.tenant.pk}
    assert gateway.send(child.address("only")) == str(replies.UNKNOWN_ADDRESS)
    assert gateway.send(f"only@other.{parent.domain.name}") == str(replies.RELAY_DENIED)
    held = message_of(gateway.send(child.address("postmaster")))
    assert held.records.get().tenant_id == child.tenant.pk


# --- trouble of ours ------------------------------------------------------------


class Broken:
    """Whatever is asked of it fails with what nobody outside may read."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"secret internals of {name}")


@pytest.mark.parametrize(
    ("part", "commands"),
    [
        ("terms", ["EHLO a.example"]),
        ("room", ["MAIL FROM:<>"]),
        ("directory", ["MAIL FROM:<>"]),
        ("directory", ["MAIL FROM:<>", "RCPT TO:<x@y.example>"]),
    ],
)
def test_error_at_any_command_is_one_fixed_text(
    gateway: LiveGateway, part: str, commands: list[str]
):
    services = gateway.server.services
    healthy = getattr(services, part)
    *before, last = commands
    with gateway.connect() as wire:
        assert all(wire.command(line).startswith("250") for line in before)
        setattr(services, part, Broken())
        assert wire.command(last) == str(replies.TROUBLE)
        setattr(services, part, healthy)
        assert wire.command("EHLO a.example").startswith("250")


def test_error_in_looking_ahead_is_one_fixed_text(gateway: LiveGateway):
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        gateway.server.services.directory = Broken()  # type: ignore[assignment]
        wire.write(b"RCPT TO:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nNOOP\r\n")
        assert [wire.reply() for _ in range(2)] == [str(replies.TROUBLE)] * 2
        assert wire.reply() == str(replies.OK)


@contextmanager
def database_away(gateway: LiveGateway) -> Iterator[None]:
    """No connection to the database is left, and none can be made."""
    nowhere = {"host": "127.0.0.1", "port": 1, "connect_timeout": 2}
    with pytest.MonkeyPatch.context() as patch, connection.cursor() as cursor:
        patch.setattr(link, "connection_parameters", lambda: nowhere)
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        wait_until(lambda: gateway.server.services.directory.is_in_doubt)
        yield


def test_no_mail_is_begun_while_the_database_is_away(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    mail, rcpt = "MAIL FROM:<a@b.example>", f"RCPT TO:<{stage.address('hello')}>"
    with gateway.connect() as wire:
        assert [wire.command(line)[:3] for line in (mail, rcpt, "RSET")] == ["250"] * 3
        with database_away(gateway):
            assert [wire.command(mail) for _ in range(2)] == [str(replies.TROUBLE)] * 2
            wire.write(f"{mail}\r\n{rcpt}\r\nDATA\r\nNOOP\r\n".encode())
            assert [wire.reply()[:3] for _ in range(4)] == ["451", "503", "503", "250"]
        assert wire.command(mail) == str(replies.SENDER_OK)  # by the very next one
        assert wire.command(rcpt).startswith("250")


def test_mail_asks_the_database_after_a_failed_read_alone(
    gateway: LiveGateway, stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    """A database that hangs leaves connections open: what failed last is what tells of it."""
    asked: list[int] = []

    async def fail(_link: Link, *_questions: object) -> None:
        asked.append(1)
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    mail, rcpt = "MAIL FROM:<a@b.example>", f"RCPT TO:<x@{stage.domain.name}>"
    with gateway.connect() as wire:
        assert [wire.command(line)[:3] for line in (mail, rcpt, "RSET")] == ["250", "550", "250"]
        with monkeypatch.context() as patch:
            patch.setattr(Link, "ask", fail)
            assert wire.command(mail) == str(replies.SENDER_OK)
            assert not asked
            assert wire.command(rcpt) == str(replies.TROUBLE)
            wire.command("RSET")
            assert wire.command(mail) == str(replies.TROUBLE)
        assert wire.command(mail) == str(replies.SENDER_OK)
        assert not gateway.server.services.directory.is_in_doubt


@pytest.mark.parametrize("part", ["room", "intake"])
@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_error_at_the_message_is_one_fixed_text_and_nothing_is_stored(
    gateway: LiveGateway, stage: Stage, part: str, way: str
):
    services = gateway.server.services
    healthy = getattr(services, part)
    with begin(gateway, stage) as wire:
        setattr(services, part, Broken())
        assert last_answer(wire, way) == str(replies.TROUBLE)
        setattr(services, part, healthy)
        assert wire.command("NOOP") == str(replies.OK)
    assert services.data_in_flight == 0
    assert not is_stored(stage)


def last_answer(wire: Wire, way: str) -> str:
    """The answer that decides about CONTENT."""
    if way == "BDAT":
        wire.write(b"BDAT %d LAST\r\n" % len(CONTENT) + CONTENT)
        return wire.reply()
    answer = wire.command("DATA")
    return wire.send_content(CONTENT) if answer.startswith("354") else answer


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (psycopg.OperationalError("connection refused"), replies.TROUBLE),
        (psycopg.errors.DiskFull("could not extend file"), replies.NO_SPACE),
    ],
    ids=["away", "full"],
)
def test_database_that_fails_at_the_final_dot_defers_and_stores_nothing(
    gateway: LiveGateway,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reply: replies.Reply,
):
    async def fail(*_questions: object) -> None:
        raise error

    with begin(gateway, stage) as wire:
        monkeypatch.setattr(Link, "ask", fail)
        assert last_answer(wire, "DATA") == str(reply)
        monkeypatch.undo()
        assert not is_stored(stage)
    assert gateway.send(stage.address("hello")).startswith("250")


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ENOSPC, replies.NO_SPACE),
        (errno.EDQUOT, replies.NO_SPACE),
        (errno.EIO, replies.TROUBLE),
    ],
)
def test_disk_that_fails_under_a_large_message_is_said(
    gateway: LiveGateway,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    reply: replies.Reply,
):
    def fail(_spool: Spool, _octets: bytes) -> None:
        raise OSError(number, "the disk")

    monkeypatch.setattr(Spool, "_append", fail)
    with begin(gateway, stage) as wire:
        wire.command("DATA")
        assert wire.send_content(b"x\r\n" * 700_000) == str(reply)
        assert wire.command("NOOP") == str(replies.OK)
    assert not is_stored(stage)


def test_clock_of_the_gateway_decides_nothing(gateway: LiveGateway, stage: Stage):
    """An address that has an hour left has it on a gateway whose clock is a day ahead."""
    stage.alias("moment", expires_at=timezone.now() + timedelta(hours=1))
    stage.alias("busy", rate_per_hour=1)
    assert gateway.send(stage.address("busy")).startswith("250")
    before = timezone.now()

    with time_machine.travel(before + timedelta(days=1), tick=True):
        reply = gateway.send(stage.address("moment"))
        assert gateway.send(stage.address("busy")).startswith("450 4.2.1")

    assert abs(message_of(reply).received_at - before) < timedelta(minutes=5)


# --- strangers --------------------------------------------------------------------


def introduce(gateway: LiveGateway, client: str) -> Wire:
    """A connection that a listed proxy says to be this client's."""
    wire = gateway.open()
    wire.write(f"PROXY TCP6 {client} 2001:db8::1 1000 25\r\n".encode())
    return wire


def test_clients_of_one_ipv6_64_are_one(opened: Opener):
    gateway = opened(
        proxies=(ip_network("127.0.0.0/8"),),
        max_connections_per_client=2,
        client_errors=2,
        delay_seconds=0,
    )
    with introduce(gateway, "2001:db8:1:1::1") as one, introduce(gateway, "2001:db8:1:1::2") as two:
        for wire in (one, two):
            wire.talk("S: 220\nC: EHLO a.example\nS: 250 \nC: FOO\nS: 500")
        assert introduce(gateway, "2001:db8:1:1::3").reply() == str(replies.TOO_MANY_OF_CLIENT)
        assert one.command("MAIL FROM:<>") == str(replies.CLIENT_FLOOD)
        with introduce(gateway, "2001:db8:1:2::1") as other:
            other.talk("S: 220\nC: EHLO a.example\nS: 250 \nC: MAIL FROM:<>\nS: 250")


def test_chunk_that_drips_is_cut(opened: Opener, stage: Stage):
    gateway = opened(progress_seconds=0.4, octets_per_second=500)
    with begin(gateway, stage) as wire:
        wire.write(b"BDAT 100000 LAST\r\n")
        wire.connection.settimeout(0.02)
        heard, started = b"", time.monotonic()
        while not heard:
            assert time.monotonic() - started < 8
            wire.write(b"x")
            try:
                heard = wire.connection.recv(1000)
            except TimeoutError:
                continue

    assert heard.decode().strip() == str(replies.TOO_SLOW)


def test_line_without_an_end_fills_no_memory(gateway: LiveGateway):
    with gateway.connect() as wire:
        [session] = gateway.server.sessions
        most = 0
        for _ in range(200):
            wire.write(b"x" * 65_536)
            most = max(most, len(session._wire) + len(session._reader._buffer))
        wire.write(b"\r\n")
        assert wire.reply() == str(replies.LINE_TOO_LONG)
        assert wire.command("NOOP") == str(replies.OK)
    assert most < 1024 * 1024


def test_new_connection_leaves_the_limits_of_others_as_they_are(gateway: LiveGateway):
    line = "NOOP " + "x" * 1900
    with gateway.connect() as wire, gateway.connect():
        assert wire.command(line) == str(replies.OK)
        assert wire.command(f"HELO {'x' * 1900}").startswith("501 5.5.4")
        with gateway.connect() as third:
            assert third.command(line) == str(replies.OK)


def test_line_of_the_longest_length_passes(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    content = b"Subject: x\r\n\r\n" + b"x" * (64 * 1024) + b"\r\n"

    assert stored_octets(message_of(gateway.send(stage.address("hello"), content))).endswith(
        content
    )


def test_names_of_a_client_add_no_header_line(gateway: LiveGateway, stage: Stage):
    """What stands in our Received line was said by the client: HELO and the address as typed."""
    stage.alias("hello")
    with gateway.open() as wire:
        wire.talk("S: 220\nC: EHLO x;(y)<z>:Bcc:evil\nS: 250 ")
        wire.talk("C: MAIL FROM:<>\nS: 250")
        wire.talk(f'C: RCPT TO:<"h\\ello"@{stage.domain.name}>\nS: 250\nC: DATA\nS: 354')
        octets = stored_octets(message_of(wire.send_content(CONTENT)))

    ours = octets.removesuffix(CONTENT)
    assert ours.count(b"\r") == ours.count(b"\n") == ours.count(b"\r\n")
    assert all(line[:1] in (b"R", b"\t") for line in ours.split(b"\r\n")[:-1])
