"""Recipient call-ahead on the wire: what hops say about mailboxes, and what senders are told."""

import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gateway.call_ahead.memory import Memory
from gateway.call_ahead.service import REST_SECONDS, CallAhead
from gateway.explain import explain
from gateway.models import Delivery, RoutingRecord
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.call_ahead import Presence, Word
from gateway.routing.facts import Hop
from mailrouting import certificate
from tenants.models import Target
from tests.gateway import peers
from tests.gateway.live import LiveGateway
from tests.gateway.scripted_hop import USUAL, ScriptedHop, scripted_hop
from tests.gateway.sink import free_port
from tests.gateway.stage import Stage
from tests.staff import client_of, make_staff
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("socket_enabled")

OK, GONE = str(replies.ACCEPTED), str(replies.MAILBOX_GONE)
DEADLINE_SECONDS = 2.0
# Where nothing but the deadline ends the question.
SHORT_SECONDS = 0.3
POSITIVE_SECONDS, NEGATIVE_SECONDS = 3600, 60


class Clock:
    """A clock that goes on by itself only as far as a test sets it ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def asking(gateway: LiveGateway, clock: Clock) -> CallAhead:
    """The gateway's call-ahead, with a clock of the test's and a short deadline."""
    service = CallAhead(
        hostname="gateway.example",
        deadline_seconds=DEADLINE_SECONDS,
        connections_per_hop=2,
        memory=Memory(
            positive_seconds=POSITIVE_SECONDS, negative_seconds=NEGATIVE_SECONDS, most=100
        ),
        clock=clock,
    )
    gateway.server.services.call_ahead = service
    return service


@pytest.fixture
def hop() -> Iterator[ScriptedHop]:
    with scripted_hop() as listening:
        yield listening


def add_alias(stage: Stage, name: str, port: int, *boxes: str, **options: Any) -> str:
    """An alias that delivers to mailboxes at hops that ask to be asked."""
    options = {"calls_ahead": True} | options
    names = boxes or (f"{name}@store.example",)
    targets = [
        Target(kind="mailbox", mailbox=stage.mailbox(box, port=port, **options)) for box in names
    ]
    stage.alias(name, *targets)
    return stage.address(name)


def ask(gateway: LiveGateway, *recipients: str) -> list[str]:
    """The answers to RCPT for these, in one session."""
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<ann@sender.example>")
        return [wire.command(f"RCPT TO:<{recipient}>") for recipient in recipients]


# --- real servers


@pytest.mark.needs("dovecot")
def test_dovecot_is_asked_and_a_mailbox_that_it_lacks_is_refused(
    gateway: LiveGateway, stage: Stage, clock: Clock
) -> None:
    with peers.dovecot(users=["ann@store.example"]) as (port, folder):
        here = add_alias(stage, "ann", port, protocol="lmtp")
        gone = add_alias(stage, "bob", port, protocol="lmtp")
        assert ask(gateway, here, gone, here, gone) == [OK, GONE, OK, GONE]

        (folder.parent / "users").write_text("ann@store.example:::::::\nbob@store.example:::::::\n")
        assert ask(gateway, gone) == [GONE], "a negative answer is believed for a while"

        def is_taken_later() -> bool:
            clock.ahead += NEGATIVE_SECONDS
            return ask(gateway, gone) == [OK]

        wait_until(is_taken_later)  # Dovecot looks at its file once a second


def server_tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        *certificate.ensure(folder, hostname="localhost", now=datetime.now(UTC))
    )
    return context


def test_hop_that_offers_starttls_is_asked_inside_it(
    gateway: LiveGateway, stage: Stage, tmp_path: Path
) -> None:
    offer = "250-hop\r\n250 STARTTLS"
    with scripted_hop({"EHLO": offer, "RCPT": "550 5.1.1 no"}, tls=server_tls(tmp_path)) as hop:
        recipient = add_alias(stage, "x", hop.port, tls="opportunistic")
        assert ask(gateway, recipient) == [GONE]
    verbs = [line.partition(" ")[0] for line in hop.heard]
    assert verbs[:5] == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT"]


@pytest.mark.parametrize("tls", ["required", "implicit"])
def test_hop_whose_certificate_is_not_to_be_trusted_refuses_nobody(
    gateway: LiveGateway, stage: Stage, tmp_path: Path, tls: str
) -> None:
    offer = "250-hop\r\n250 STARTTLS"
    with scripted_hop({"EHLO": offer, "RCPT": "550 5.1.1 no"}, tls=server_tls(tmp_path)) as hop:
        assert ask(gateway, add_alias(stage, "x", hop.port, tls=tls)) == [OK]
        assert not hop.said("RCPT")


# --- what a hop may do


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize(
    ("script", "reply"),
    [
        ({}, OK),
        ({"RCPT": "550 5.1.1 no such user"}, GONE),
        ({"RCPT": "550-5.1.1 no\r\n550 5.1.1 such user"}, GONE),
        ({"RCPT": "550 5.1.1 no such user", "RSET": None}, GONE),
        ({"RCPT": "450 4.2.1 busy"}, OK),
        ({"RCPT": "554 5.7.1 your address is on a list"}, OK),
        ({"RCPT": "421 4.3.2 closing"}, OK),
        ({"RCPT": ""}, OK),
        ({"RCPT": None}, OK),
        ({"RCPT": "nonsense"}, OK),
        ({"RCPT": "550 5.1.1\x00\x1b[31m no such user"}, GONE),
        ({"MAIL": "550 5.1.1 no bounces here"}, OK),
        ({"MAIL": None}, OK),
        ({"greeting": "554 5.7.1 go away"}, OK),
        ({"greeting": ""}, OK),
        ({"EHLO": "502 no", "HELO": "502 no", "LHLO": "502 no"}, OK),
        ({"EHLO": "250 hop", "LHLO": "250 hop", "RCPT": "550 5.1.1 no such user"}, GONE),
        ({"EHLO": "250 hop", "LHLO": "250 hop", "MAIL": "421 4.3.2 closing"}, OK),
    ],
    ids=str,
)
def test_only_a_clear_word_about_the_mailbox_refuses(
    gateway: LiveGateway,
    stage: Stage,
    asking: CallAhead,
    protocol: str,
    script: dict[str, str | None],
    reply: str,
) -> None:
    if "" in script.values():
        asking._deadline_seconds = SHORT_SECONDS
    with scripted_hop(script) as hop:
        recipient = add_alias(stage, "x", hop.port, protocol=protocol)
        started = time.monotonic()
        assert ask(gateway, recipient) == [reply]
        assert time.monotonic() - started < DEADLINE_SECONDS + 3
    assert all(line in ("MAIL FROM:<>", "RCPT TO:<x@store.example>", "RSET", "QUIT")
               for line in hop.heard if "LO " not in line)  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "x" * 64 + ".example"])
def test_hop_that_cannot_be_reached_refuses_nobody(
    gateway: LiveGateway, stage: Stage, host: str
) -> None:
    recipient = add_alias(stage, "x", free_port(), host=host)
    assert gateway.send(recipient).startswith("250 2.0.0")
    [delivery] = Delivery.objects.filter(record__recipient=recipient)
    assert delivery.recipient == "x@store.example"


def test_hop_that_does_not_answer_is_left_alone_for_a_while(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop, clock: Clock, asking: CallAhead
) -> None:
    hop.script["RCPT"] = ""
    asking._deadline_seconds = 3 * SHORT_SECONDS
    boxes = [f"{name}@store.example" for name in "abc"]
    shared = stage.mailbox(boxes[0], port=hop.port, calls_ahead=True).next_hop
    recipients = []
    for name in "abc":
        box = stage.mailbox(f"{name}{name}@store.example", port=1)
        type(box).objects.filter(pk=box.pk).update(next_hop=shared)
        stage.alias(name, Target(kind="mailbox", mailbox=box))
        recipients.append(stage.address(name))

    assert ask(gateway, *recipients) == [OK, OK, OK]
    assert len(hop.said("RCPT")) == 1

    hop.script["RCPT"] = "550 5.1.1 no such user"
    asking._deadline_seconds = DEADLINE_SECONDS
    clock.ahead += REST_SECONDS
    assert ask(gateway, *recipients) == [GONE, GONE, GONE]


# --- how often it is asked


def test_answers_are_remembered_as_long_as_they_are_believed(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop, clock: Clock
) -> None:
    hop.of_recipient = lambda line: "550 5.1.1 no" if "gone" in line else "250 ok"
    here, gone = (add_alias(stage, name, hop.port) for name in ("here", "gone"))

    def asked_for() -> list[str]:
        hop.heard.clear()
        assert ask(gateway, here, gone) == [OK, GONE]
        return [line[9:13] for line in hop.said("RCPT")]

    assert asked_for() == ["here", "gone"]
    assert asked_for() == []
    clock.ahead += NEGATIVE_SECONDS - 1
    assert asked_for() == []
    clock.ahead += 1
    assert asked_for() == ["gone"]
    clock.ahead += POSITIVE_SECONDS
    assert asked_for() == ["here", "gone"]


def test_an_edit_of_the_hop_is_asked_anew(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    recipient = add_alias(stage, "x", hop.port)
    assert ask(gateway, recipient) == [OK]
    with scripted_hop({"RCPT": "550 5.1.1 no such user"}) as other:
        row = stage.tenant.next_hops.get()
        type(row).objects.filter(pk=row.pk).update(port=other.port)
        assert ask(gateway, recipient) == [GONE]
        type(row).objects.filter(pk=row.pk).update(calls_ahead=False)
        assert ask(gateway, recipient) == [OK]


def test_those_who_ask_for_one_mailbox_share_one_question(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    go_on = threading.Event()

    def answer(_line: str) -> str:
        assert go_on.wait(10)
        return "550 5.1.1 no such user"

    hop.of_recipient = answer
    asking: CallAhead = gateway.server.services.call_ahead
    asking._deadline_seconds = 10
    recipient = add_alias(stage, "x", hop.port)
    decided = partial(REGISTRY.get_sample_value, "mailrouting_decision_seconds_count")
    before = decided() or 0
    with ThreadPoolExecutor(5) as clients:
        said = [clients.submit(ask, gateway, recipient) for _ in range(5)]
        wait_until(lambda: (decided() or 0) - before == 5)
        go_on.set()
        assert [each.result() for each in said] == [[GONE]] * 5
    assert len(hop.said("RCPT")) == 1


def test_a_hop_is_asked_over_few_connections_that_are_used_again(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop, asking: CallAhead
) -> None:
    asking._deadline_seconds = 10
    shared = stage.mailbox("first@store.example", port=hop.port, calls_ahead=True).next_hop
    recipients = []
    for number in range(12):
        box = stage.mailbox(f"b{number}@store.example", port=1)
        type(box).objects.filter(pk=box.pk).update(next_hop=shared)
        stage.alias(f"a{number}", Target(kind="mailbox", mailbox=box))
        recipients.append(stage.address(f"a{number}"))

    assert ask(gateway, *recipients[:4]) == [OK] * 4
    assert hop.connections == 1
    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(partial(ask, gateway), recipients[4:])) == [[OK]] * 8
    assert hop.most_at_once <= 2
    assert len(hop.said("RCPT")) == 12
    wait_until(lambda: len(hop.said("QUIT")) == hop.connections)


def test_connection_that_was_closed_meanwhile_is_opened_again(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    first, second = (add_alias(stage, name, hop.port) for name in ("first", "second"))
    row = stage.tenant.next_hops.order_by("pk").first()
    stage.tenant.mailboxes.update(next_hop=row)
    heard: list[str] = []

    def answer(line: str) -> str | None:
        heard.append(line)
        return None if len(heard) == 2 else "550 5.1.1 no such user"

    hop.of_recipient = answer
    assert ask(gateway, first, second) == [GONE, GONE]
    assert hop.connections == 2


# --- who is asked for


def test_postmaster_and_abuse_are_accepted_unasked(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    hop.script["RCPT"] = "550 5.1.1 no such user"
    for name in ("postmaster", "abuse"):
        box = stage.mailbox(f"{name}@store.example", port=hop.port, calls_ahead=True)
        stage.role(name, holder=box)
    assert ask(gateway, stage.address("postmaster"), stage.address("abuse")) == [OK, OK]
    assert not hop.heard


def test_a_recipient_with_another_place_left_is_accepted(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    hop.of_recipient = lambda line: "550 5.1.1 no" if "gone" in line else "250 ok"
    both = add_alias(stage, "both", hop.port, "gone@store.example", "here@store.example")
    none = add_alias(stage, "none", hop.port, "gone1@store.example", "gone2@store.example")
    box = stage.mailbox("gone3@store.example", port=hop.port, calls_ahead=True)
    stage.alias("inbox", Target(kind="mailbox", mailbox=box), Target(kind="inbox", position=1))

    assert ask(gateway, both, none, stage.address("inbox")) == [OK, GONE, OK]
    assert gateway.send(both).startswith("250 2.0.0")
    assert Delivery.objects.filter(record__recipient=both).count() == 2


@pytest.mark.parametrize("offers", [True, False])
def test_international_mailbox_is_asked_for_where_the_hop_can_take_it(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop, offers: bool
) -> None:
    if not offers:
        hop.script["EHLO"] = USUAL["EHLO"].replace("SMTPUTF8", "SIZE")  # type: ignore[union-attr]
    hop.script["RCPT"] = "550 5.1.1 no such user"
    recipient = add_alias(stage, "x", hop.port, "böx@store.example")
    assert ask(gateway, recipient) == [GONE if offers else OK]
    assert hop.said("MAIL") == (["MAIL FROM:<> SMTPUTF8"] if offers else [])


def test_international_mail_is_refused_where_the_asked_hop_cannot_take_it(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    """It is known by the hop's EHLO, and remembered with its answer."""
    hop.script["EHLO"] = USUAL["EHLO"].replace("SMTPUTF8", "SIZE")  # type: ignore[union-attr]
    recipient = add_alias(stage, "x", hop.port)

    for _ in range(2):
        with gateway.connect() as wire:
            wire.command("MAIL FROM:<änn@sender.example> SMTPUTF8")
            assert wire.command(f"RCPT TO:<{recipient}>") == str(replies.HOP_WITHOUT_SMTPUTF8)
    assert ask(gateway, recipient) == [OK]
    assert len(hop.said("EHLO")) == 1


# --- what is shown of it


def test_record_metrics_and_log_show_what_was_said(
    gateway: LiveGateway, stage: Stage, hop: ScriptedHop
) -> None:
    hop.script["RCPT"] = "550 5.1.1 no\x00such user"
    recipient = add_alias(stage, "x", hop.port)
    counted = partial(
        REGISTRY.get_sample_value, "mailrouting_call_ahead_total", {"presence": "gone"}
    )
    before = counted() or 0
    with capture_logs() as lines:
        assert ask(gateway, recipient) == [GONE]
    [line] = [line for line in lines if line["event"] == "decision"]
    assert (line["reason"], line["call_ahead"]) == ("mailbox-gone", "gone")
    assert (counted() or 0) - before == 1
    gateway.flush_refusals()
    record = RoutingRecord.objects.get(recipient=recipient)
    assert (record.reason, record.reply) == ("mailbox-gone", GONE)
    place = f"x@store.example at smtp:127.0.0.1:{hop.port}"
    assert ["call-ahead", "gone", f"{place}: 550 5.1.1 no such user"] in record.trace


def test_unasked_decision_has_nothing_of_it_in_its_log_line(
    gateway: LiveGateway, stage: Stage
) -> None:
    stage.alias("plain")
    with capture_logs() as lines:
        assert ask(gateway, stage.address("plain")) == [OK]
    [line] = [line for line in lines if line["event"] == "decision"]
    assert "call_ahead" not in line


# --- Explain, and the memory by itself


def test_explain_says_who_would_be_asked_and_may_ask(stage: Stage, hop: ScriptedHop) -> None:
    hop.script["RCPT"] = "550 5.1.1 no such user"
    recipient = add_alias(stage, "x", hop.port)
    explanation = explain(recipient, "", None)
    assert explanation.reply == replies.ACCEPTED
    assert explanation.decision is not None
    assert explanation.decision.trace[-1].outcome == "to be asked"
    assert not hop.heard

    explanation = explain(recipient, "", None, asks_hops=True)
    assert explanation.reply == replies.MAILBOX_GONE
    assert hop.said("RCPT") == ["RCPT TO:<x@store.example>"]


def test_explain_page_asks_when_it_is_told_to(stage: Stage, hop: ScriptedHop) -> None:
    hop.script["RCPT"] = "550 5.1.1 <script>no such user"
    recipient = add_alias(stage, "x", hop.port)
    client: Client = client_of(make_staff(f"staff-{recipient}"))
    page = client.get("/admin/explain/", {"recipient": recipient}).content.decode()
    assert OK in page
    assert "the gateway asks the next hop" in page
    assert "Ask next hops" in page
    client.get("/admin/explain/", {"recipient": recipient, "asks_hops": "on"})
    assert not hop.heard
    page = client.post(f"/admin/explain/?recipient={quote(recipient)}").content.decode()
    assert GONE in page
    assert "550 5.1.1 &lt;script&gt;no such user" in page


def test_memory_is_bounded_and_loses_the_oldest() -> None:
    hop = Hop(1, "smtp", "store.example", 25)
    questions = [(hop, Address.parse(f"b{number}@store.example")) for number in range(5)]
    memory = Memory(positive_seconds=100, negative_seconds=10, most=3)
    for number, question in enumerate(questions):
        memory.keep(question, Word(Presence.EXISTS, str(number)), now=0)
    memory.keep(questions[2], Word(Presence.GONE, "later"), now=0)
    memory.keep(questions[0], Word(Presence.UNKNOWN, "again"), now=0)
    kept = {number: memory.recall(question, now=9) for number, question in enumerate(questions)}
    said = {number: word.said for number, word in kept.items() if word is not None}
    assert said == {2: "later", 4: "4", 0: "again"}
    assert [number for number in said if memory.recall(questions[number], now=10)] == [4]
    assert memory.recall(questions[4], now=100) is None
