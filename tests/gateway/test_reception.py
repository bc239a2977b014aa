"""A message on its way in: line ends, chunks, the end of a connection, large ones in files."""

import asyncio
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256

import pytest

from gateway.disk import Room
from gateway.models import Message
from gateway.pieces import octets_of
from gateway.routing import replies
from gateway.smtpd import content as reception
from gateway.smtpd.content import Content
from gateway.smtpd.trace import MAX_HEADER_OCTETS
from gateway.smtpd.transaction import Terms
from gateway.smtpd.turns import Turns
from gateway.spool import Spool
from tests.gateway.live import LiveGateway, Wire, live_gateway
from tests.gateway.stage import Stage
from tests.waiting import wait_until

HEADER = b"From: ann@sender.example\r\nSubject: x\r\n"
SMUGGLED = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<hello@x>\r\nDATA\r\nevil\r\n"


def stored(reply: str) -> bytes:
    message = Message.objects.get(queue_id=reply.rpartition(" ")[2])
    octets = octets_of(message) or b""
    return octets.partition(b"\r\n\t")[2].partition(b"\r\n\t")[2].partition(b"\r\n")[2]


def begin(gateway: LiveGateway, stage: Stage, parameters: str = "") -> Wire:
    """A transaction with one recipient, ready for DATA or BDAT."""
    if not stage.domain.addresses.exists():
        stage.alias("hello")
    return gateway.talk(
        f"C: MAIL FROM:<ann@sender.example>{parameters}\nS: 250\n"
        f"C: RCPT TO:<{stage.address('hello')}>\nS: 250"
    )


# --- line ends -------------------------------------------------------------

BARE = [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\n.\r", b"\r.\n",
    b"\r\n\0.\n", b"\n\0.\r\n", b"\r\r\n.\n",
]  # fmt: skip


@pytest.fixture(params=["plain", "aiosmtpd"])
def normalising(
    request: pytest.FixtureRequest, database: None, socket_enabled: None
) -> Iterator[LiveGateway]:
    with live_gateway(
        is_plain=request.param == "plain", terms=Terms(normalises_line_ends=True)
    ) as running:
        yield running


@pytest.mark.parametrize("ending", BARE, ids=repr)
def test_smuggled_end_is_refused_and_nothing_behind_it_is_a_command(
    gateway: LiveGateway, stage: Stage, ending: bytes
):
    with begin(gateway, stage) as wire:
        wire.command("DATA")
        wire.write(HEADER + b"\r\nx" + ending + SMUGGLED + b"\r\n.\r\nNOOP\r\n")

        assert wire.reply() == str(replies.BARE_LINE_ENDS)
        assert wire.reply() == str(replies.OK)


@pytest.mark.parametrize("ending", BARE, ids=repr)
def test_smuggled_end_is_content_where_line_ends_are_normalised(
    normalising: LiveGateway, stage: Stage, ending: bytes
):
    with begin(normalising, stage) as wire:
        wire.command("DATA")
        wire.write(HEADER + b"\r\nx" + ending + SMUGGLED + b"\r\n.\r\nNOOP\r\n")

        octets = stored(wire.reply())
        assert wire.reply() == str(replies.OK)
    assert SMUGGLED in octets
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")


# --- chunks (RFC 3030) -----------------------------------------------------


def test_chunks_make_one_message_of_exactly_their_octets(gateway: LiveGateway, stage: Stage):
    with begin(gateway, stage) as wire:
        for chunk in (HEADER, b"\r\n.\r\n", b"..two\r\n", b"cut\r"):
            wire.write(b"BDAT %d\r\n" % len(chunk) + chunk)
            assert wire.reply() == str(replies.OK)
        wire.write(b"bdat 5 last\r\n\nend\n"[:-1] + b"\r")
        assert wire.reply() == str(replies.BARE_LINE_ENDS)

    with begin(gateway, stage) as wire:
        for chunk in (HEADER, b"\r\n.\r\n", b"..two\r\n", b"cut\r"):
            wire.write(b"BDAT %d\r\n" % len(chunk) + chunk)
            assert wire.reply() == str(replies.OK)
        wire.write(b"BDAT 6 LAST\r\n\nend\r\n")
        reply = wire.reply()

    assert stored(reply) == HEADER + b"\r\n.\r\n..two\r\ncut\r\nend\r\n"


def test_empty_last_chunk_ends_the_message(gateway: LiveGateway, stage: Stage):
    content = HEADER + b"\r\nx\r\n"
    with begin(gateway, stage) as wire:
        wire.write(b"BDAT %d\r\n" % len(content) + content)
        assert wire.reply() == str(replies.OK)
        reply = wire.command("BDAT 0 LAST")
        assert wire.command("BDAT 0 LAST") == str(replies.NEEDS_RCPT)

    assert stored(reply) == content


def test_chunk_over_many_packets_is_one_chunk(gateway: LiveGateway, stage: Stage):
    content = HEADER + b"\r\nQUIT\r\n.\r\n"
    with begin(gateway, stage) as wire:
        command = b"BDAT %d LAST\r\n" % len(content)
        for octet in command + content:
            wire.write(bytes([octet]))
        reply = wire.reply()

    assert stored(reply) == content


def test_pipelined_chunks_are_answered_in_order(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    recipient = stage.address("hello").encode()
    with gateway.connect() as wire:
        wire.write(
            b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + recipient + b">\r\n"
            b"BDAT 12\r\nSubject: x\r\nBDAT 5 LAST\r\n\r\nx\r\nRSET\r\nQUIT\r\n"
        )
        codes = [wire.reply()[:9] for _ in range(7)]

    assert codes == ["250 2.1.0", "250 2.1.5", *["250 2.0.0"] * 3, "221 2.0.0", ""]


def test_chunk_without_recipients_is_read_off_and_refused(gateway: LiveGateway, stage: Stage):
    with gateway.connect() as wire:
        for line in ("", "MAIL FROM:<a@b.example>\r\n"):
            wire.write(f"{line}BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n".encode())
            if line:
                assert wire.reply() == str(replies.SENDER_OK)
            assert wire.reply() == str(replies.NEEDS_RCPT)
            assert wire.reply() == str(replies.OK)


def test_message_of_chunks_takes_neither_data_nor_recipients(gateway: LiveGateway, stage: Stage):
    with begin(gateway, stage) as wire:
        wire.write(b"BDAT 3\r\nx\r\n")
        assert wire.reply() == str(replies.OK)
        assert wire.command("DATA") == str(replies.CONTENT_HAS_BEGUN)
        assert wire.command(f"RCPT TO:<{stage.address('hello')}>") == str(replies.CONTENT_HAS_BEGUN)
        assert wire.command("MAIL FROM:<>") == str(replies.NESTED_MAIL)
        assert wire.command("BDAT x LAST") == str(replies.BDAT_SYNTAX)
        assert wire.command("BDAT") == str(replies.BDAT_SYNTAX)
        assert wire.command("BDAT 1 FIRST") == str(replies.BDAT_SYNTAX)
        assert wire.command("RSET") == str(replies.OK)
        assert wire.command("BDAT 0 LAST") == str(replies.NEEDS_RCPT)


def test_chunk_over_the_system_limit_is_read_off_and_refused_for_good(
    gateway: LiveGateway, stage: Stage
):
    gateway.server.services.platform = gateway.server.services.platform.__class__(
        hostname="localhost", bounce_domain="bounce.localhost", max_message_octets=100
    )
    with begin(gateway, stage) as wire:
        wire.write(b"BDAT 60\r\n" + b"x" * 60)
        assert wire.reply() == str(replies.OK)
        wire.write(b"BDAT 60\r\n" + b"x" * 60 + b"BDAT 6 LAST\r\nQUIT\r\n")
        assert wire.reply() == str(replies.SYSTEM_SIZE)
        assert wire.reply() == str(replies.NEEDS_RCPT)
        assert wire.command("NOOP") == str(replies.OK)
    wait_until(lambda: gateway.server.services.data_in_flight == 0)


def test_chunk_over_the_budget_spoils_the_message_and_not_its_end_alone(
    gateway: LiveGateway, stage: Stage
):
    services = gateway.server.services
    with begin(gateway, stage) as wire:
        services.data_in_flight += services.data_budget_octets
        wire.write(b"BDAT 3\r\nx\r\n")
        assert wire.reply() == str(replies.NO_SPACE)
        services.data_in_flight -= services.data_budget_octets
        wire.write(b"BDAT 3 LAST\r\ny\r\n")
        assert wire.reply() == str(replies.NEEDS_RCPT)


# --- the end of the connection ---------------------------------------------


def test_client_that_ends_after_the_final_dot_gets_its_answer(gateway: LiveGateway, stage: Stage):
    with begin(gateway, stage) as wire:
        wire.command("DATA")
        wire.write(HEADER + b"\r\nx\r\n.\r\n")
        wire.connection.shutdown(socket.SHUT_WR)

        assert stored(wire.reply()) == HEADER + b"\r\nx\r\n"
        assert wire.reply() == ""


def test_whole_session_at_once_is_answered_though_the_client_has_ended(
    gateway: LiveGateway, stage: Stage
):
    stage.alias("hello")
    content = HEADER + b"\r\nx\r\n"
    with gateway.connect() as wire:
        wire.write(
            f"MAIL FROM:<>\r\nRCPT TO:<{stage.address('hello')}>\r\n"
            f"BDAT {len(content)} LAST\r\n".encode()
            + content
        )
        wire.connection.shutdown(socket.SHUT_WR)
        replied = [wire.reply() for _ in range(4)]

    assert [reply[:3] for reply in replied] == ["250", "250", "250", ""]
    assert stored(replied[2]) == content


def test_half_a_message_is_forgotten(gateway: LiveGateway, stage: Stage):
    with begin(gateway, stage) as wire:
        wire.command("DATA")
        wire.write(HEADER + b"\r\nx\r\n.")
    with begin(gateway, stage) as wire:
        wire.write(b"BDAT 1000\r\n" + HEADER)

    wait_until(lambda: not gateway.server.sessions)
    assert gateway.server.services.data_in_flight == 0
    assert not Message.objects.filter(records__domain=stage.domain).exists()


# --- large messages ---------------------------------------------------------


def test_large_message_is_kept_in_a_file_and_stored_whole(gateway: LiveGateway, stage: Stage):
    content = HEADER + b"\r\n" + b"".join(b".%d\r\n" % n for n in range(400_000))

    with begin(gateway, stage) as wire:
        wire.command("DATA")
        reply = wire.send_content(content)

    assert stored(reply) == content
    wait_until(lambda: gateway.server.services.data_in_flight == 0)


def test_large_message_is_stored_whole_by_a_slow_disk(
    gateway: LiveGateway, stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    """Its last piece is waited for like the others, though the next thing to do is to end."""
    append = Spool._append

    def append_late(spool: Spool, octets: bytes) -> None:
        time.sleep(0.1)  # the disk
        append(spool, octets)

    monkeypatch.setattr(Spool, "_append", append_late)
    content = HEADER + b"\r\n" + (b"x" * 78 + b"\r\n") * 40_000

    with begin(gateway, stage) as wire:
        wire.command("DATA")
        reply = wire.send_content(content)

    assert stored(reply) == content


def test_message_over_the_system_limit_is_read_off_and_refused(gateway: LiveGateway, stage: Stage):
    gateway.server.services.platform = gateway.server.services.platform.__class__(
        hostname="localhost", bounce_domain="bounce.localhost", max_message_octets=2_000_000
    )
    with begin(gateway, stage) as wire:
        wire.command("DATA")
        assert wire.send_content(b"x" * 3_000_000 + b"\r\n") == str(replies.SYSTEM_SIZE)
        assert wire.command("NOOP") == str(replies.OK)


def test_undeclared_octets_count_against_the_budget_as_they_come(
    database: None, socket_enabled: None, stage: Stage
):
    with live_gateway(data_budget_octets=300_000) as gateway, begin(gateway, stage) as wire:
        wire.command("DATA")
        wire.write(HEADER + b"\r\n" + b"x\r\n" * 30_000)
        wait_until(lambda: gateway.server.services.data_in_flight >= 90_000)
        wire.write(b"x\r\n" * 100_000 + b".\r\n")

        assert wire.reply() == str(replies.NO_SPACE)
        assert wire.command("NOOP") == str(replies.OK)
        wait_until(lambda: gateway.server.services.data_in_flight == 0)


def test_spool_that_cannot_be_written_is_trouble_and_the_session_goes_on(
    database: None, socket_enabled: None, stage: Stage
):
    with live_gateway(room=Room("/nowhere")) as gateway, begin(gateway, stage) as wire:
        wire.command("DATA")
        assert wire.send_content(b"x\r\n" * 1_000_000) == str(replies.TROUBLE)
        assert wire.command("NOOP") == str(replies.OK)


def test_small_messages_pass_while_a_large_one_comes_in(gateway: LiveGateway, stage: Stage):
    with begin(gateway, stage) as large:
        large.command("DATA")
        sending = threading.Thread(target=large.write, args=(b"\r\n" + b"x\r\n" * 2_000_000,))
        sending.start()
        assert gateway.send(stage.address("hello")).startswith("250")
        sending.join()
        large.write(b".\r\n")
        assert large.reply().startswith("250")


def test_header_beyond_its_limit_is_refused_before_anything_reads_it(
    gateway: LiveGateway, stage: Stage
):
    """Hops and forged results stand behind what was seen of it."""
    content = HEADER + (b"X: ".ljust(998, b"x") + b"\r\n") * 300 + b"Received: x\r\n" * 60
    with begin(gateway, stage) as wire:
        wire.command("DATA")
        assert wire.send_content(content + b"\r\nx\r\n") == str(replies.HEADER_SIZE)
        assert wire.command("NOOP") == str(replies.OK)


# --- without sockets ---------------------------------------------------------


def test_line_ends_over_pieces_are_whole():
    content = Content(b"", normalises=False)
    for piece in (b"a\r", b"\n", b"b\r", b"\nc\r\n"):
        content.add(piece)
    content.end()

    assert not content.has_bare_ends
    assert content.take(b"") == b"a\r\nb\r\nc\r\n"


def test_header_is_found_however_it_is_cut():
    whole = b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n"
    for place in range(len(whole)):
        content = Content(b"", normalises=False)
        content.add(whole[:place])
        content.add(whole[place:])
        assert content.header == b"A: 1\r\nB: 2"
    for headless in (b"\r\nbody\r\n", b"\r\n\r\n"):
        content = Content(b"", normalises=False)
        content.add(headless)
        assert content.header == b""


@pytest.mark.parametrize("piece_octets", [1000, 16 * 1024, 64 * 1024, 1024 * 1024])
@pytest.mark.parametrize(("more", "is_too_long"), [(0, False), (1, True), (150_000, True)])
def test_header_is_too_long_whatever_pieces_it_comes_in(
    piece_octets: int,
    more: int,
    is_too_long: bool,
):
    header = b"A: ".ljust(MAX_HEADER_OCTETS + more, b"a")
    whole = header + b"\r\n\r\nbody\r\n"
    content = Content(b"", normalises=False)
    for start in range(0, len(whole), piece_octets):
        content.add(whole[start : start + piece_octets])
    content.end()

    assert content.is_header_too_long is is_too_long
    assert content.header == header[:MAX_HEADER_OCTETS]


@pytest.mark.parametrize("piece_octets", [1, 2, 60])
def test_small_pieces_take_the_memory_that_is_counted(piece_octets: int):
    whole = bytearray(HEADER + b"\r\n" + b"0123456789" * 4_000)
    content = Content(b"", normalises=False)
    tracemalloc.start()
    for start in range(0, len(whole), piece_octets):
        content.add(bytes(whole[start : start + piece_octets]))
    held_octets, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    content.end()

    assert held_octets < content.in_memory_octets * 1.5
    assert content.digest == sha256(whole).digest()
    assert content.take(b"") == whole


def test_message_without_a_body_is_all_header():
    content = Content(b"", normalises=False)
    content.add(b"Received: x\r\n" * 60)

    assert content.header.count(b"Received") == 60


@pytest.mark.enable_socket  # an event loop wakes itself through one
def test_digest_is_the_same_in_memory_and_in_a_file(monkeypatch: pytest.MonkeyPatch):
    whole = [b"A: 1\r\n", b"\r\n", b"body\r\n" * 100]

    async def digest() -> bytes:
        content = Content(b"seed", normalises=False)
        for octets in whole:
            if (writing := content.add(octets)) is not None:
                await writing
        if (writing := content.end()) is not None:
            await writing
        assert content.in_memory_octets <= reception.MOST_IN_MEMORY_OCTETS
        found = content.digest
        content.drop()
        return found

    in_memory = asyncio.run(digest())
    monkeypatch.setattr(reception, "MOST_IN_MEMORY_OCTETS", 10)
    monkeypatch.setattr(reception, "WRITE_OCTETS", 3)

    assert asyncio.run(digest()) == in_memory == sha256(b"seed" + b"".join(whole)).digest()


@pytest.mark.enable_socket
def test_turns_are_taken_one_in_each_turn_of_the_loop():
    async def run() -> list[object]:
        turns, seen = Turns(), []
        for name in "abc":
            turns.wait(lambda name=name: seen.append(name))
        for number in range(4):
            seen.append(number)
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(run()) == [0, "a", 1, "b", 2, "c", 3]
