"""The content filter on the wire: Debian's Rspamd, and a filter that misbehaves by a script."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pytest_django import Settings
from structlog.testing import capture_logs

from gateway.delivery import drain, release
from gateway.inspection.claims import strip
from gateway.inspection.content_filter.breaker import Breaker
from gateway.inspection.content_filter.filtering import CLAIMED
from gateway.models import Delivery, RoutingRecord
from gateway.pieces import octets_of
from gateway.routing import replies
from tenants import changes
from tenants.changes import Actor
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.rspamd import GTUBE, VIRUS, rspamd
from tests.gateway.scripted_filter import ScriptedFilter, answer, respond, scripted_filter
from tests.gateway.sink import Sink
from tests.gateway.stage import ACTOR, Stage
from tests.waiting import wait_until
from tests.world import to_mailbox

pytestmark = pytest.mark.usefixtures("socket_enabled")

QUEUED = "250 2.0.0"
PLAIN = b"Subject: x\r\n\r\nx\r\n"
Gateways = Callable[..., LiveGateway]


@pytest.fixture(params=["plain", "aiosmtpd"])
def start(request: pytest.FixtureRequest, database: None, settings: Settings) -> Iterator[Gateways]:
    """Starts a gateway with a filter at a URL; both ways of a session answer the same."""
    running: list[Any] = []

    def with_filter(url: str, **options: Any) -> LiveGateway:
        settings.CONTENT_FILTER_URL = url
        for name, value in options.items():
            setattr(settings, f"CONTENT_FILTER_{name.upper()}", value)
        running.append(live_gateway(is_plain=request.param == "plain"))
        gateway: LiveGateway = running[-1].__enter__()
        return gateway

    yield with_filter
    for each in running:
        each.__exit__(None, None, None)


@pytest.fixture(scope="module")
def rspamd_url() -> Iterator[str]:
    with rspamd() as url:
        yield url


@pytest.fixture
def scripted() -> Iterator[ScriptedFilter]:
    with scripted_filter() as listening:
        yield listening


@pytest.fixture
def filtered(stage: Stage) -> Stage:
    """A tenant whose mail is filtered."""
    stage.tenant.filters_mail = True
    changes.save(stage.tenant, actor=ACTOR)
    return stage


def records(recipient: str) -> list[RoutingRecord]:
    return list(RoutingRecord.objects.filter(recipient=recipient).order_by("at"))


def filter_steps(record: RoutingRecord) -> list[list[str]]:
    steps: list[list[str]] = [step for step in record.trace if step[0] == "content filter"]
    return steps


def mood(action: str, text: bytes = b"x\r\n") -> bytes:
    """A message for which the test's Rspamd takes an action."""
    return b"Subject: x\r\nX-Mood: %b\r\n\r\n%b" % (action.encode(), text)


# --- Debian's Rspamd


@pytest.mark.needs("rspamd")
@pytest.mark.parametrize(
    ("content", "reply", "state", "mark"),
    [
        (PLAIN, QUEUED, "pending", ""),
        (b"Subject: x\r\n\r\n%b\r\n" % GTUBE, "550 5.7.1", None, ""),
        (mood("reject"), "550 5.7.1", None, ""),
        (mood("add header"), QUEUED, "pending", "X-Spam-Flag: YES\r\n"),
        (mood("rewrite subject"), QUEUED, "pending", "X-Spam-Flag: YES\r\n"),
        (mood("soft reject"), "451 4.7.1", None, ""),
        (mood("greylist"), "451 4.7.1", None, ""),
        (mood("quarantine"), QUEUED, "held", "X-Spam-Flag: YES\r\n"),
        (b"Subject: x\r\nX-Heavy: 1\r\n\r\nx\r\n", QUEUED, "pending", "X-Spam-Flag: YES\r\n"),
        (b"Subject: x\r\n\r\n%b\r\n" % VIRUS, "550 5.7.1", None, ""),
    ],
)
def test_rspamd_is_asked_before_mail_is_accepted(
    start: Gateways,
    rspamd_url: str,
    filtered: Stage,
    content: bytes,
    reply: str,
    state: str | None,
    mark: str,
) -> None:
    gateway = start(rspamd_url)
    filtered.alias("x")
    recipient = filtered.address("x")

    said = gateway.send(recipient, content)

    assert said.startswith(reply), said
    gateway.flush_refusals()
    [record] = records(recipient)
    assert len(filter_steps(record)) == 2, "what is to be checked, and what came of it"
    assert record.accepted is (state is not None)
    deliveries = Delivery.objects.filter(record=record)
    assert [each.state for each in deliveries] == ([state] if state else [])
    for delivery in deliveries:
        assert delivery.mark.startswith(mark)
        assert bool(delivery.mark) is bool(mark)


@pytest.mark.needs("rspamd")
def test_virus_is_held_where_the_tenant_wants_that(
    start: Gateways, rspamd_url: str, filtered: Stage
) -> None:
    gateway = start(rspamd_url)
    filtered.alias("x", on_virus="hold")

    said = gateway.send(filtered.address("x"), b"Subject: x\r\n\r\n%b\r\n" % VIRUS)

    assert said.startswith(QUEUED)
    [delivery] = Delivery.objects.filter(record__recipient=filtered.address("x"))
    assert delivery.state == Delivery.State.HELD
    assert delivery.last_reply.startswith("content filter: virus, reject")
    assert "CLAM_VIRUS" in delivery.last_reply


@pytest.mark.needs("rspamd")
def test_marked_and_released_mail_arrives_with_our_words_alone(
    start: Gateways, rspamd_url: str, filtered: Stage, sink: Sink
) -> None:
    gateway = start(rspamd_url)
    filtered.alias("x", to_mailbox(filtered.mailbox("box@store.example", port=sink.port)))
    forged = (
        b"X-Spam-Flag: NO\r\nX-SPAM-Status : No,\r\n\tscore=-100\r\nX-Sender-Authentication: ok\r\n"
    )
    content = forged + mood("quarantine").replace(b"Subject", b"X-Spam: no\r\nSubject")

    assert gateway.send(filtered.address("x"), content).startswith(QUEUED)
    drain()
    assert not sink.received
    held = Delivery.objects.filter(state="held", record__recipient=filtered.address("x"))
    release([each.pk for each in held], actor=Actor.system("test"))
    drain()

    [received] = sink.received
    arrived = received.octets
    assert arrived.lower().count(b"x-spam-flag") == 1
    assert b"X-Spam-Flag: YES\r\nX-Spam-Score: " in arrived
    assert b"score=-100" not in arrived
    assert b"X-Spam: no" not in arrived
    assert b"X-Sender-Authentication" not in arrived
    assert arrived.endswith(b"\r\nSubject: x\r\nX-Mood: quarantine\r\n\r\nx\r\n")


@pytest.mark.needs("rspamd")
def test_time_that_the_filter_takes_is_small(
    start: Gateways, rspamd_url: str, filtered: Stage
) -> None:
    """A bound against mistakes (a look-up, a wait for a connection), not the figure."""
    gateway = start(rspamd_url)
    filtered.alias("x")
    gateway.send(filtered.address("x"))
    started = time.perf_counter()
    for _ in range(20):
        assert gateway.send(filtered.address("x")).startswith(QUEUED)
    assert (time.perf_counter() - started) / 20 < 1


# --- what is sent to it


def test_filter_is_told_the_envelope_and_given_the_message_as_it_came(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url, password="open sesame")
    for name in ("x", "y"):
        filtered.alias(name)
    content = b"X-Spam: no\r\nSubject: x\r\n\r\n.\r\nx\r\n"

    with gateway.connect() as wire:
        wire.talk(f"""
            C: MAIL FROM:<jo@sender.example>
            S: 250
            C: RCPT TO:<{filtered.address("x")}>
            S: 250
            C: RCPT TO:<{filtered.address("y")}>
            S: 250
            C: DATA
            S: 354""")
        said = wire.send_content(content)

    [asked] = scripted.asked
    assert asked.request == "POST /checkv2 HTTP/1.1"
    assert asked.body == content
    assert asked.all("from") == ["jo@sender.example"]
    assert asked.all("rcpt") == [filtered.address("x"), filtered.address("y")]
    assert asked.all("ip") == ["127.0.0.1"]
    assert asked.all("helo") == ["client.example"]
    assert asked.all("queue-id") == [said.rpartition(" ")[2]]
    assert asked.all("mta-name") == ["localhost"]
    assert asked.all("password") == ["open sesame"]
    assert asked.all("cookie") == []


def test_no_more_of_a_message_is_sent_than_is_set(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url, max_octets=1000)
    filtered.alias("x")
    large = PLAIN + b"a line of some length\r\n" * 100_000

    assert gateway.send(filtered.address("x"), large).startswith(QUEUED)

    [asked] = scripted.asked
    assert asked.body == large[:1000]
    [record] = records(filtered.address("x"))
    assert "the first 1000 octets of it" in filter_steps(record)[-1][2]
    assert (octets_of(record.message) or b"").endswith(large)


def test_connections_are_used_again(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url)
    filtered.alias("x")
    for _ in range(5):
        assert gateway.send(filtered.address("x")).startswith(QUEUED)
    assert (len(scripted.asked), scripted.connections) == (5, 1)


# --- who is filtered


def test_only_who_wants_it_is_filtered(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url)
    scripted.script = lambda _: answer("reject")
    filtered.alias("on")
    filtered.alias("off", filters_mail="off")
    other = Stage()
    other.alias("not")
    other.alias("own", filters_mail="on", on_spam="mark")

    assert gateway.send(filtered.address("off")).startswith(QUEUED)
    assert gateway.send(other.address("not")).startswith(QUEUED)
    assert gateway.send(filtered.address("postmaster")).startswith(QUEUED)
    assert not scripted.asked
    assert gateway.send(filtered.address("on")) == str(replies.SPAM)
    assert gateway.send(other.address("own")).startswith(QUEUED)
    assert len(scripted.asked) == 2
    [delivery] = Delivery.objects.filter(record__recipient=other.address("own"))
    assert "X-Spam-Flag: YES" in delivery.mark


def test_forged_fields_stay_where_nobody_is_filtered_but_marks_never_do(
    start: Gateways, stage: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url)
    stage.alias("x")
    content = b"X-Sender-Authentication: fine\r\nX-Spam-Flag: YES\r\n" + PLAIN

    assert gateway.send(stage.address("x"), content).startswith(QUEUED)

    [record] = records(stage.address("x"))
    stored = octets_of(record.message) or b""
    assert b"X-Spam-Flag: YES\r\n" in stored
    assert b"X-Sender-Authentication" not in stored


def test_recipients_who_could_not_share_an_answer_are_split(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url)
    scripted.script = lambda _: answer("reject")
    filtered.alias("on")
    filtered.alias("held", on_spam="hold")
    other = Stage()
    other.alias("off")
    split = "452 4.5.3 Too many recipients"

    with gateway.connect() as wire:
        wire.talk(f"""
            C: MAIL FROM:<jo@sender.example>
            S: 250
            C: RCPT TO:<{filtered.address("on")}>
            S: 250
            C: RCPT TO:<{other.address("off")}>
            S: {split}
            C: RCPT TO:<{filtered.address("held")}>
            S: {split}
            C: DATA
            S: 354""")
        assert wire.send_content(PLAIN) == str(replies.SPAM)
        wire.talk(f"""
            C: MAIL FROM:<jo@sender.example>
            S: 250
            C: RCPT TO:<{filtered.address("held")}>
            S: 250
            C: RCPT TO:<{other.address("off")}>
            S: {split}
            C: DATA
            S: 354""")
        assert wire.send_content(PLAIN).startswith(QUEUED)
    [delivery] = Delivery.objects.filter(record__recipient=filtered.address("held"))
    assert delivery.state == "held"


@pytest.mark.parametrize(
    ("action", "reply", "state"),
    [
        ("accept", QUEUED, "pending"),
        ("discard", "550 5.7.1", None),
        ("an action of their own", QUEUED, "pending"),
    ],
)
def test_actions_that_are_rare_have_a_meaning(
    start: Gateways,
    filtered: Stage,
    scripted: ScriptedFilter,
    action: str,
    reply: str,
    state: str | None,
) -> None:
    gateway = start(scripted.url)
    scripted.script = lambda _: answer(action)
    filtered.alias("x")
    assert gateway.send(filtered.address("x")).startswith(reply)
    deliveries = Delivery.objects.filter(record__recipient=filtered.address("x"))
    assert [each.state for each in deliveries] == ([state] if state else [])
    assert [bool(each.mark) for each in deliveries] == ([action != "accept"] if state else [])


# --- trouble with it


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TROUBLES: dict[str, bytes | None] = {
    "silence": None,
    "nonsense": b"220 this is no HTTP\r\n\r\n",
    "half an answer": answer()[:-10],
    "500": answer(status="500 Internal Server Error"),
    "403": answer(status="403 Forbidden"),
    "redirect": respond(b"", status="302 Found", fields="Location: http://127.0.0.1:1/\r\n"),
    "no JSON": respond(b"<html>"),
    "another JSON": respond(b'{"error": "no scan"}'),
    "wrong types": respond(b'{"action": 1, "score": "high"}'),
    "huge": respond(b'{"action": "' + b"x" * 3_000_000 + b'"}'),
    "endless": CHUNKED + b"1000\r\n%b\r\n" % (b"x" * 4096) * 600,
    "packed": respond(b"\x1f\x8b\x08", fields="Content-Encoding: gzip\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("failure", ["defer", "mark"])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_trouble_with_the_filter_defers_or_marks_as_is_set(
    start: Gateways,
    filtered: Stage,
    scripted: ScriptedFilter,
    failure: str,
    trouble: bytes | None,
) -> None:
    is_endured = trouble in (TROUBLES["silence"], TROUBLES["half an answer"])
    gateway = start(scripted.url, failure=failure, seconds=0.3 if is_endured else 3)
    scripted.script = lambda _: trouble
    filtered.alias("x")

    started = time.monotonic()
    said = gateway.send(filtered.address("x"))

    assert time.monotonic() - started < 8
    if failure == "defer":
        assert said == str(replies.UNFILTERED)
    else:
        assert said.startswith(QUEUED)
        [delivery] = Delivery.objects.filter(record__recipient=filtered.address("x"))
        assert delivery.mark == "X-Spam-Status: Unknown\r\n"
    # The reply may be on its way before the refusal is noted.
    wait_until(lambda: bool(gateway.flush_refusals() or records(filtered.address("x"))))
    [record] = records(filtered.address("x"))
    outcome = "refused" if failure == "defer" else "marked"
    assert filter_steps(record)[-1][1] == outcome
    assert filter_steps(record)[-1][2].startswith("unknown; ")


def test_answer_that_is_longer_than_the_deadline_byte_by_byte_is_cut(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    """A total deadline: each octet in time does not make an answer in time."""
    gateway = start(scripted.url, seconds=0.3)
    dripped = bytearray()

    def drip(_: Any) -> Iterator[bytes]:
        for octet in answer():
            time.sleep(0.02)
            dripped.append(octet)
            yield bytes([octet])

    scripted.script = drip
    filtered.alias("x")
    assert gateway.send(filtered.address("x")) == str(replies.UNFILTERED)
    assert 1 < len(dripped) < len(answer()), "it was answering all the while"


def test_dead_filter_does_not_cost_each_message_its_deadline(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url, seconds=0.5)
    scripted.script = lambda _: None
    filtered.alias("x")
    for _ in range(3):
        assert gateway.send(filtered.address("x")) == str(replies.UNFILTERED)
    started = time.monotonic()
    for _ in range(5):
        assert gateway.send(filtered.address("x")) == str(replies.UNFILTERED)
    assert time.monotonic() - started < 2
    assert len(scripted.asked) == 3

    inspector: Any = gateway.server.services.inspectors[-1]
    inspector._clock = lambda: time.monotonic() + 100
    inspector._rspamd._deadline_seconds = 10
    scripted.script = lambda _: answer()
    assert gateway.send(filtered.address("x")).startswith(QUEUED)


def test_message_of_a_client_that_left_meanwhile_is_not_stored(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    """It gets no answer, so it sends the message again."""
    gateway = start(scripted.url)
    filtered.alias("x")
    has_left = threading.Event()
    scripted.script = lambda _: answer() if has_left.wait(10) else None
    wire = gateway.connect()
    for command in ("MAIL FROM:<>", f"RCPT TO:<{filtered.address('x')}>", "DATA"):
        wire.command(command)
    wire.write(PLAIN + b".\r\n")
    wait_until(lambda: scripted.asked)
    wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
    wait_until(lambda: not gateway.server.sessions)

    has_left.set()

    wait_until(lambda: not gateway.server.services.data_in_flight)
    assert not records(filtered.address("x"))


def test_breaker_lets_one_through_each_rest_until_it_succeeds() -> None:
    breaker = Breaker(failures=2, rest_seconds=10)
    assert breaker.lets_through(0)
    assert breaker.fail(0) is False
    assert breaker.lets_through(1)
    assert breaker.fail(1) is True
    assert [breaker.lets_through(at) for at in (1, 10.9)] == [False, False]
    assert [breaker.lets_through(at) for at in (11, 11, 20.9)] == [True, False, False]
    assert breaker.fail(12) is False, "it was open already"
    assert [breaker.lets_through(at) for at in (21, 22)] == [False, True]
    breaker.succeed()
    assert [breaker.lets_through(at) for at in (22, 22)] == [True, True]
    assert breaker.fail(22) is False


# --- what is shown of it


def test_record_metrics_and_log_show_the_verdict(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url)
    symbols = {"LIGHT": {"score": 0.1}, "HEAVY\r\nX: y": {"score": 9.0, "options": ["a"]}}
    scripted.script = lambda _: answer("reject", score=16.25, symbols=symbols)
    filtered.alias("x")
    counted = partial(REGISTRY.get_sample_value, "mailrouting_filtered_total", {"verdict": "spam"})
    before = counted() or 0
    with capture_logs() as lines:
        assert gateway.send(filtered.address("x")) == str(replies.SPAM)
    assert (counted() or 0) - before == 1
    [line] = [line for line in lines if line["event"] == "message"]
    assert (line["reason"], line["filter"], line["filter_score"]) == ("spam", "spam", "16.25")
    gateway.flush_refusals()
    [record] = records(filtered.address("x"))
    assert (record.reason, record.reply) == ("spam", str(replies.SPAM))
    said = "spam, reject, 16.25 of 15.00; HEAVY??X: y, LIGHT"
    assert filter_steps(record)[-1] == ["content filter", "refused", said]


def test_what_the_filter_says_cannot_make_header_lines(
    start: Gateways, filtered: Stage, scripted: ScriptedFilter
) -> None:
    gateway = start(scripted.url)
    symbols = {"A\r\nX-Evil: yes\r\n\r\n": {"score": 1.0}}
    scripted.script = lambda _: answer("add header", symbols=symbols)
    filtered.alias("x")
    assert gateway.send(filtered.address("x")).startswith(QUEUED)
    [delivery] = Delivery.objects.filter(record__recipient=filtered.address("x"))
    assert delivery.mark.splitlines() == [
        "X-Spam-Flag: YES",
        "X-Spam-Score: 1.50",
        "X-Spam-Status: Yes, suspicious, score=1.50 required=15.00",
        "X-Spam-Symbols: A??X-Evil: yes????",
    ]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"X-Spam: y\r\nSubject: x\r\n", b"Subject: x\r\n"),
        (b"Subject: x\r\nx-spam-flag:NO\r\n more\r\n\tand more\r\n", b"Subject: x\r\n"),
        (b"X-Spam-Status \t: No\r\n", b""),
        (b"X-Spamalot: y\r\nX-Spa-m: y\r\nSubject: X-Spam: x\r\n", None),
        (b"Subject: a\r\n X-Spam: folded\r\n", None),
        (b"Subject: x\r\n", None),
        (b"", None),
    ],
)
def test_fields_that_only_we_may_set_are_taken_out(header: bytes, kept: bytes | None) -> None:
    assert strip(header, "mx.example", [CLAIMED]) == kept


@pytest.mark.parametrize("start_of_line", [b"X-Spam: ", b"X-Sender-Authentication: ", b"X-Spam-"])
def test_header_that_was_cut_in_a_line_end_costs_no_more_than_another(start_of_line: bytes) -> None:
    assert strip(start_of_line + b"a" * 100_000 + b"\r\r\n", "mx.example", [CLAIMED]) is None
