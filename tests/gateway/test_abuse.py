"""Strangers who misuse the gateway, over real sockets and through both ways of a session.

Times are shortened by Limits; clients differ by loopback addresses.
"""

import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from ipaddress import ip_network
from itertools import count
from typing import Any

import pytest

from gateway import metrics
from gateway.models import Message
from gateway.pending import Pending
from gateway.routing import replies
from gateway.routing.facts import Facts, LookupFailed
from tests.gateway.live import LiveGateway, Wire
from tests.gateway.stage import Stage
from tests.waiting import wait_until

OTHER = "127.0.0.2"
LOOPBACK = (ip_network("127.0.0.0/8"),)
Opener = Callable[..., LiveGateway]


def sample(counter: Any, **labels: str) -> float:
    counted = counter.labels(**labels) if labels else counter
    return float(counted._value.get())


def is_empty(gateway: LiveGateway) -> bool:
    return not gateway.server.sessions and not gateway.server.strangers.connected


def start_message(gateway: LiveGateway, recipient: str) -> Wire:
    return gateway.talk(
        f"""
        C: MAIL FROM:<a@b.example>
        S: 250
        C: RCPT TO:<{recipient}>
        S: 250
        C: DATA
        S: 354
        """
    )


# --- connections ------------------------------------------------------------


def test_connections_of_one_client_are_capped_and_others_are_greeted(opened: Opener):
    gateway = opened(max_connections_per_client=2)
    before = sample(metrics.REFUSED_CONNECTIONS, reason="client-connections")
    first, second = gateway.connect(), gateway.connect()

    third = gateway.open()
    assert third.reply() == str(replies.TOO_MANY_OF_CLIENT)
    assert third.reply() == ""
    gateway.connect(OTHER).close()
    assert sample(metrics.REFUSED_CONNECTIONS, reason="client-connections") == before + 1

    first.close()
    wait_until(lambda: gateway.server.strangers.connected == 1)
    gateway.connect().close()
    second.close()


def test_connections_of_the_process_are_capped(opened: Opener):
    gateway = opened(max_connections=2)
    wires = [gateway.connect(), gateway.connect(OTHER)]

    assert gateway.open("127.0.0.3").reply() == str(replies.TOO_MANY_CONNECTIONS)

    for wire in wires:
        wire.close()
    wait_until(lambda: is_empty(gateway))
    gateway.connect().close()


def test_exempt_networks_are_not_counted(opened: Opener):
    gateway = opened(
        max_connections=1, max_connections_per_client=1, client_errors=1, exempt=LOOPBACK
    )
    with gateway.connect(), gateway.connect() as wire:
        for _ in range(25):
            assert wire.command("FOO").startswith("500 5.5.2")
        assert wire.command("MAIL FROM:<>").startswith("250")


def test_500_idle_connections_keep_nobody_waiting(opened: Opener):
    gateway = opened(max_connections_per_client=600)
    idle = [gateway.open() for _ in range(500)]
    for wire in idle:
        assert wire.reply().startswith("220")

    started = time.monotonic()
    with gateway.open(OTHER) as fresh:
        assert fresh.reply().startswith("220")
        assert time.monotonic() - started < 2

    for wire in idle:
        wire.close()
    wait_until(lambda: is_empty(gateway))


def test_listener_holds_a_thousand_and_answers_leave_at_once(opened: Opener):
    gateway = opened()
    with gateway.connect():
        [listener] = gateway.server._server.sockets
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
        [session] = gateway.server.sessions
        accepted = session.transport.get_extra_info("socket")
        has_delay = not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert int.from_bytes(info[28:32], sys.byteorder) >= 1024  # its backlog, as Linux tells
    assert not has_delay


# --- errors -----------------------------------------------------------------

ERRORS = {
    "unknown verb": "FOO",
    "nothing": "",
    "empty verb": " MAIL FROM:<>",
    "octets that are no text": "\x16\x03\x01",
    "syntax of MAIL": "MAIL FROM:nobody",
    "sequence": "DATA",
    "syntax of EHLO": "EHLO",
    "not offered": "AUTH PLAIN AGEAYg==",
    "line over the limit": "NOOP " + "x" * 3000,
}


@pytest.mark.parametrize("line", ERRORS.values(), ids=ERRORS.keys())
def test_every_error_counts_and_the_last_one_ends_the_session(opened: Opener, line: str):
    gateway = opened(delay_seconds=0, max_errors=4)
    before = sample(metrics.CUT_CONNECTIONS, reason="errors")
    with gateway.connect() as wire:
        answers = [wire.command(line) for _ in range(4)]
        assert [answer[0] for answer in answers[:3]] == ["5", "5", "5"]
        assert answers[3] == str(replies.TOO_MANY_ERRORS)
        assert wire.reply() == ""
    wait_until(lambda: is_empty(gateway))
    assert sample(metrics.CUT_CONNECTIONS, reason="errors") == before + 1


def test_twenty_refused_recipients_end_the_session_even_in_one_write(opened: Opener, stage: Stage):
    gateway = opened(delay_seconds=0)
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<a@b.example>")
        wire.write(b"".join(b"RCPT TO:<%d@elsewhere.example>\r\n" % n for n in range(50)))
        answers = [wire.reply() for _ in range(20)]
        assert [answer[:9] for answer in answers] == ["550 5.7.1"] * 19 + ["421 4.7.0"]
        assert wire.reply() == ""


def test_answers_wait_from_the_tenth_error_on_and_nobody_else_does(opened: Opener):
    gateway = opened(delay_seconds=0.3)
    before = sample(metrics.DELAYED_ANSWERS)
    with gateway.connect() as slow, gateway.connect(OTHER) as other:
        for _ in range(9):
            slow.command("FOO")
        assert sample(metrics.DELAYED_ANSWERS) == before
        started = time.monotonic()
        slow.write(b"FOO\r\nNOOP\r\nFOO\r\n")
        for _ in range(10):
            assert other.command("NOOP").startswith("250")
        assert time.monotonic() - started < 0.3
        assert slow.reply().startswith("500")
        assert time.monotonic() - started > 0.29
        assert slow.reply().startswith("250")
        assert slow.reply().startswith("500")
        assert time.monotonic() - started > 0.89
    assert sample(metrics.DELAYED_ANSWERS) == before + 2


def test_client_that_goes_while_it_is_made_to_wait_leaves_nothing(opened: Opener):
    gateway = opened(delay_seconds=60, tarpit_errors=1)
    with gateway.connect() as wire:
        wire.write(b"FOO\r\n")
        wait_until(lambda: all(s._guest.errors for s in gateway.server.sessions))
    wait_until(lambda: is_empty(gateway), seconds=5)


def test_stored_message_forgives_the_errors_before_it(opened: Opener, stage: Stage):
    stage.alias("hello")
    gateway = opened(delay_seconds=0, max_errors=5)
    with gateway.connect() as wire:
        for _ in range(3):
            wire.talk("C: FOO\nS: 500\n" * 4)
            wire.talk(
                f"""
                C: MAIL FROM:<a@b.example>
                S: 250
                C: RCPT TO:<{stage.address("hello")}>
                S: 250
                C: DATA
                S: 354
                """
            )
            assert wire.send_content(b"x\r\n").startswith("250")


@pytest.mark.parametrize("verb", ["NOOP", "RSET", "EHLO a.example", "HELO a.example", "VRFY a"])
def test_idle_talk_beyond_its_budget_ends_the_session(opened: Opener, verb: str):
    gateway = opened(delay_seconds=0, max_idle_talk=10, max_errors=5)
    with gateway.connect() as wire:  # whose EHLO is the first
        answers = [wire.command(verb)[:3] for _ in range(14)]

    assert answers == ["252" if verb == "VRFY a" else "250"] * 13 + ["421"]


@pytest.mark.parametrize("names", ["abcdefgh", "aaaaaaaa"], ids=["many", "one, said again"])
def test_recipients_far_beyond_the_most_end_the_session(
    opened: Opener,
    stage: Stage,
    names: str,
):
    for name in set(names):
        stage.alias(name)
    gateway = opened({"max_recipients": 2}, delay_seconds=0, max_postponed=3, max_errors=3)
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        answers = [wire.command(f"RCPT TO:<{stage.address(name)}>")[:9] for name in names]

    assert answers == ["250 2.1.5"] * 2 + ["452 4.5.3"] * 5 + ["421 4.7.0"]


class BrokenDirectory:
    """A directory that cannot answer."""

    is_in_doubt = False

    def facts(self, recipients: object) -> Pending[Facts]:
        answer: Pending[Facts] = Pending()
        answer.fail(LookupFailed("connection refused"))
        return answer


def test_our_own_trouble_is_nobodys_error(opened: Opener, stage: Stage):
    stage.alias("hello")
    gateway = opened(client_errors=5)
    healthy = gateway.server.services.directory
    gateway.replace_directory(BrokenDirectory())  # type: ignore[arg-type]
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        for _ in range(25):
            assert wire.command(f"RCPT TO:<{stage.address('hello')}>") == str(replies.TROUBLE)
        gateway.replace_directory(healthy)
        assert wire.command(f"RCPT TO:<{stage.address('hello')}>").startswith("250")


# --- a client over its budget -------------------------------------------------


def attack(gateway: LiveGateway, stage: Stage, guesses: int) -> None:
    """Guess addresses, a few on each connection, until the gateway has enough of it."""
    numbers = count()
    while (asked := next(numbers)) < guesses:
        with gateway.connect() as wire:
            if wire.command("MAIL FROM:<x@y.example>").startswith("450"):
                return
            for _ in range(5):
                wire.command(f"RCPT TO:<guess-{asked}-{next(numbers)}@{stage.domain.name}>")


def test_dictionary_attack_costs_its_client_and_nobody_else(opened: Opener, stage: Stage):
    stage.alias("hello")
    gateway = opened(client_errors=12)
    before = sample(metrics.FLOOD_REFUSALS)
    waiting = start_message(gateway, stage.address("hello"))
    with gateway.connect() as midway:
        assert midway.command("MAIL FROM:<x@y.example>").startswith("250")

        attack(gateway, stage, guesses=100)

        flood = str(replies.CLIENT_FLOOD)
        assert midway.command(f"RCPT TO:<{stage.address('hello')}>") == flood  # as if unknown
        assert midway.command(f"RCPT TO:<{stage.address('guess')}>") == flood
    with gateway.connect() as again:
        assert again.command("MAIL FROM:<x@y.example>") == flood
        assert again.command("MAIL FROM:<>") == flood
        assert again.command("RCPT TO:<postmaster>").startswith("503")
        assert again.command("NOOP").startswith("250")
        assert again.command("QUIT").startswith("221")
    assert waiting.send_content(b"x\r\n").startswith("250")  # its recipients were accepted before
    waiting.close()
    assert sample(metrics.FLOOD_REFUSALS) >= before + 4
    with gateway.connect(OTHER) as other:
        other.command("MAIL FROM:<x@y.example>")
        assert other.command(f"RCPT TO:<{stage.address('hello')}>").startswith("250")
        assert other.command(f"RCPT TO:<{stage.address('nobody')}>").startswith("550 5.1.1")


def test_attack_takes_nothing_from_the_limits_of_a_known_address(opened: Opener, stage: Stage):
    stage.alias("busy", rate_per_hour=1)
    gateway = opened(client_errors=12)
    for _ in range(3):
        with gateway.connect() as wire:
            wire.command("MAIL FROM:<>")
            wire.command(f"RCPT TO:<{stage.address('busy')}>")
    attack(gateway, stage, guesses=100)

    with gateway.connect(OTHER) as wire:
        wire.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('busy')}>\nS: 250")
        wire.talk("C: DATA\nS: 354")
        assert wire.send_content(b"x\r\n").startswith("250")


def test_client_is_let_in_again_when_its_errors_are_past(opened: Opener, stage: Stage):
    gateway = opened(client_errors=6, client_window_seconds=1)
    attack(gateway, stage, guesses=6)

    def is_let_in() -> bool:
        with gateway.connect() as wire:
            return wire.command("MAIL FROM:<>").startswith("250")

    wait_until(is_let_in)


# --- time -------------------------------------------------------------------


def test_idle_client_is_told_and_cut(opened: Opener):
    gateway = opened(idle_seconds=0.2)
    wire = gateway.connect()

    assert wire.reply() == str(replies.IDLE)
    assert wire.reply() == ""
    wire.close()


def test_command_that_comes_by_single_octets_is_idleness(opened: Opener):
    gateway = opened(idle_seconds=0.4)
    wire = gateway.connect()
    wire.connection.settimeout(0.02)
    heard = b""
    deadline = time.monotonic() + 5
    while not heard and time.monotonic() < deadline:
        wire.write(b"N")
        try:
            heard = wire.connection.recv(1000)
        except TimeoutError:
            continue

    assert heard.decode().strip() == str(replies.IDLE)


def test_scarce_connections_end_idle_ones_soon(opened: Opener):
    gateway = opened(max_connections=5, stress_seconds=0.3)
    wires = [gateway.connect(source) for source in ("127.0.0.1", "127.0.0.1", OTHER, OTHER)]

    wait_until(lambda: not gateway.server.strangers.is_stressed)  # four of five were scarce
    spoken_to, _, _ = select.select([wire.connection for wire in wires], [], [], 5)
    assert spoken_to
    for wire in wires:
        assert wire.connection not in spoken_to or wire.reply() == str(replies.IDLE)


def test_dripping_message_is_cut_and_an_honest_slow_one_is_not(opened: Opener, stage: Stage):
    stage.alias("hello")
    gateway = opened(progress_seconds=0.4, octets_per_second=500, idle_seconds=0.6)
    dripping = start_message(gateway, stage.address("hello"))
    honest = start_message(gateway, stage.address("hello"))
    dripping.connection.settimeout(0.02)
    heard, started = b"", time.monotonic()
    while not heard or time.monotonic() - started < 1.5:
        assert time.monotonic() - started < 8
        honest.write(b"y" * 200 + b"\r\n")
        if heard:
            time.sleep(0.02)
            continue
        dripping.write(b"x")
        try:
            heard = dripping.connection.recv(1000)
        except TimeoutError:
            continue

    assert heard.decode().strip() == str(replies.TOO_SLOW)
    assert honest.send_content(b"").startswith("250")
    honest.close()
    wait_until(lambda: gateway.server.services.data_in_flight == 0)


class SilentDirectory:
    """A directory that never answers."""

    is_in_doubt = False

    def facts(self, recipients: object) -> Pending[Facts]:
        return Pending()


def test_client_that_waits_for_us_too_long_is_told(opened: Opener, stage: Stage):
    gateway = opened(idle_seconds=0.3)
    gateway.replace_directory(SilentDirectory())  # type: ignore[arg-type]
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        assert wire.command(f"RCPT TO:<{stage.address('hello')}>") == str(replies.IDLE)
        assert wire.reply() == ""
    wait_until(lambda: is_empty(gateway))


def test_handshake_that_is_never_made_is_cut(opened: Opener, tls: ssl.SSLContext):
    gateway = opened({"tls": tls}, handshake_seconds=0.3)
    before = sample(metrics.CUT_CONNECTIONS, reason="handshake")
    with gateway.connect() as wire:
        assert wire.command("STARTTLS").startswith("220")
        assert wire.reply_or_end() == ""
    wait_until(lambda: is_empty(gateway))
    assert sample(metrics.CUT_CONNECTIONS, reason="handshake") == before + 1


@pytest.mark.parametrize("is_reset", [False, True])
def test_client_that_goes_in_the_handshake_leaves_nothing(
    opened: Opener, tls: ssl.SSLContext, is_reset: bool
):
    gateway = opened({"tls": tls})
    wire = gateway.connect()
    assert wire.command("STARTTLS").startswith("220")
    if is_reset:
        wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.close()

    wait_until(lambda: is_empty(gateway), seconds=5)


def test_errors_before_starttls_count_after_it(opened: Opener, tls: ssl.SSLContext):
    gateway = opened({"tls": tls}, delay_seconds=0, max_errors=4)
    wire = gateway.connect()
    for _ in range(3):
        wire.command("FOO")
    assert wire.command("STARTTLS").startswith("220")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with Wire(client.wrap_socket(wire.connection)) as inside:
        assert inside.command("FOO") == str(replies.TOO_MANY_ERRORS)
    wait_until(lambda: is_empty(gateway))


def test_client_that_does_not_read_is_bounded_in_memory_and_time(opened: Opener):
    gateway = opened(idle_seconds=0.5, linger_seconds=0.3, max_idle_talk=10**9)
    wire = Wire(socket.socket())
    wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.connection.connect(("127.0.0.1", gateway.port))
    wire.connection.setblocking(False)
    sent, most, session = 0, 0, None
    deadline = time.monotonic() + 15
    while not is_empty(gateway) or session is None:
        assert time.monotonic() < deadline
        session = next(iter(gateway.server.sessions), session)
        try:
            sent += wire.connection.send(b"EHLO a.example\r\n" * 4096)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
        if session and session.transport:
            waiting = session.transport.get_write_buffer_size()
            most = max(most, waiting + len(session._wire) + len(session._reader._buffer))

    wait_until(lambda: is_empty(gateway), seconds=5)
    assert sent > 100_000
    assert most < 2 * 1024 * 1024
    wire.close()


# --- stopping ---------------------------------------------------------------


def stop(gateway: LiveGateway) -> None:
    gateway.loop.call_soon_threadsafe(gateway._stop.set)


def test_stopping_ends_the_waiting_finishes_messages_and_takes_nobody_in(
    opened: Opener, stage: Stage
):
    stage.alias("hello")
    gateway = opened(delay_seconds=60, tarpit_errors=1)
    idle, delayed = gateway.connect(), gateway.connect()
    delayed.write(b"FOO\r\n")
    wait_until(lambda: any(s._guest.errors for s in gateway.server.sessions))
    busy = start_message(gateway, stage.address("hello"))

    stop(gateway)

    for wire in (idle, delayed):
        assert wire.reply() == str(replies.SHUTTING_DOWN)
        assert wire.reply() == ""
    with pytest.raises(ConnectionRefusedError):
        gateway.open()
    answer = busy.send_content(b"x\r\n")
    assert answer.startswith("250")
    assert Message.objects.filter(queue_id=answer.rpartition(" ")[2]).exists()
    assert busy.reply() == str(replies.SHUTTING_DOWN)
    for wire in (idle, delayed, busy):
        wire.close()


def test_stopping_waits_for_no_message_for_ever(opened: Opener, stage: Stage):
    stage.alias("hello")
    gateway = opened({"drain_seconds": 0.3})
    never = start_message(gateway, stage.address("hello"))

    stop(gateway)

    assert never.reply() == str(replies.SHUTTING_DOWN)
    never.close()
    wait_until(lambda: not gateway._thread.is_alive())
