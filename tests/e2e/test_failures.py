"""Parts of the running product go away and come back: what was answered 250 arrives.

What a worker does around a kill is tested closely in tests/gateway/test_worker_killed.py; here the
schedule finds what was left behind, without anybody's help.
"""

import smtplib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import cycle
from signal import SIGTERM
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import F

from gateway.models import Counter as RateCounter
from gateway.models import Delivery, RoutingRecord
from gateway.routing.policy import rate_counter
from tenants.models import Alias, Target
from tests.e2e import mail
from tests.e2e.stack import SECOND, Stack
from tests.gateway import outbox
from tests.gateway.sink import Sink
from tests.gateway.stage import Stage
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("mended", "socket_enabled")

HOUR = timedelta(hours=1)
LIMIT = 12
PROCESSES = ("web", "gateway", "worker", "beat")


@pytest.fixture
def mended(stack: Stack) -> Iterator[None]:
    """Whatever a test takes away is there again for the next one."""
    yield
    stack.mend()


def deliveries_of(recipient: str) -> list[UUID]:
    rows = Delivery.objects.filter(record__recipient=recipient)
    return list(rows.values_list("id", flat=True))


def route_to(stage: Stage, sink: Sink, local_part: str = "box") -> str:
    """An address whose mail goes to the sink."""
    box = stage.mailbox(f"{local_part}@store.example", port=sink.port)
    stage.alias(local_part, Target(kind="mailbox", mailbox=box))
    return stage.address(local_part)


def test_killed_worker_loses_nothing_and_repeats_at_most_one(
    stack: Stack, stage: Stage, sink: Sink
) -> None:
    sink.script.hangs = True
    recipient = route_to(stage, sink)
    for _ in range(3):
        assert mail.send(stack.smtp_port, recipient, mail.OCTETS).startswith("250 ")
    assert sink.got_message.wait(20)
    stack.kill("worker")
    sink.script.hangs = False
    sink.go_on.set()
    ids = deliveries_of(recipient)
    outbox.let_lease_end(*ids)
    stack.run("worker")
    mail.delivered(recipient, count=3)
    copies = Counter(each.trace["X-Delivery-ID"] for each in sink.received)
    assert set(copies) == {str(each) for each in ids}
    assert copies.total() <= 4
    assert all(each.octets.endswith(mail.OCTETS) for each in sink.received)


def test_mail_is_taken_without_a_broker_and_delivered_once_it_is_back(
    stack: Stack, stage: Stage, sink: Sink
) -> None:
    recipient = route_to(stage, sink)
    with without_broker(stack):
        wait_until(lambda: not stack.is_ready("worker"))
        assert mail.send(stack.smtp_port, recipient).startswith("250 2.0.0 ")
        wait_until(lambda: "bell cannot be rung" in stack.log("gateway"))
        assert not sink.received
    mail.delivered(recipient)
    assert len(sink.received) == 1
    for name in PROCESSES:
        stack.wait_until_ready(name)


@contextmanager
def without_broker(stack: Stack) -> Iterator[None]:
    """The broker's folder is away, and nobody can make another in its place."""
    away = stack.broker.with_name("broker.away")
    stack.broker.rename(away)
    stack.broker.touch()
    try:
        yield
    finally:
        stack.broker.unlink()
        away.rename(stack.broker)


def test_stopped_database_defers_mail_and_every_process_outlives_it(
    stack: Stack, stage: Stage, sink: Sink
) -> None:
    recipient = route_to(stage, sink)
    connection.close()
    with mail.connect(stack.smtp_port) as client:
        client.mail(mail.SENDER)
        assert client.rcpt(recipient)[0] == 250
        stack.stop_database()
        code, text = client.data(mail.OCTETS)
        assert (code, text[:6]) == (451, b"4.3.0 ")
        assert client.mail(mail.SENDER)[0] == 451
    assert mail.ask(stack.smtp_port, recipient).startswith("451 4.3.0 ")
    stack.start_database()
    wait_until(lambda: mail.ask(stack.smtp_port, recipient).startswith("250 "))
    assert mail.send(stack.smtp_port, recipient, mail.OCTETS).startswith("250 ")
    mail.delivered(recipient)
    assert len(sink.received) == 1
    for name in PROCESSES:
        stack.wait_until_ready(name)


def test_two_gateways_keep_one_rate_in_every_rolling_hour(stack: Stack, stage: Stage) -> None:
    stage.alias("busy", rate_per_hour=LIMIT)
    recipient = stage.address("busy")
    with stack.second_gateway() as other:
        ports = (stack.smtp_port, other)
        assert flood(ports, recipient, 8) == 8
        let_pass(recipient, timedelta(minutes=30))
        assert flood(ports, recipient, 30) == LIMIT - 8
        let_pass(recipient, timedelta(minutes=31))
        assert flood(ports, recipient, 30) == 8
    times = list(stored_at(recipient))
    assert len(times) == LIMIT + 8
    assert max(sum(start <= at < start + HOUR for at in times) for start in times) == LIMIT


def flood(ports: tuple[int, ...], recipient: str, count: int) -> int:
    """Send so many at once over all ports; how many were accepted, the rest being deferred."""
    with ThreadPoolExecutor(8) as pool:
        chosen = [port for port, _ in zip(cycle(ports), range(count), strict=False)]
        replies = list(pool.map(lambda port: mail.send(port, recipient), chosen))
    codes = Counter(reply[:9] for reply in replies)
    assert set(codes) <= {"250 2.0.0", "450 4.2.1"}, codes
    return codes["250 2.0.0"]


def let_pass(recipient: str, time: timedelta) -> None:
    """Make everything that counts for this address older, as if time had passed."""
    key = rate_counter(Alias.objects.get(key=recipient).pk)
    counters = RateCounter.objects.filter(pk=key)
    assert counters.update(minute=F("minute") - time // timedelta(minutes=1)) == 1
    RoutingRecord.objects.filter(recipient=recipient).update(at=F("at") - time)


def stored_at(recipient: str) -> Iterator[datetime]:
    rows = RoutingRecord.objects.filter(recipient=recipient, accepted=True)
    return rows.exclude(message=None).values_list("at", flat=True).iterator()


def test_gateway_that_is_told_to_stop_finishes_the_message(stack: Stack, stage: Stage) -> None:
    stage.alias("late")
    recipient = stage.address("late")
    with stack.second_gateway() as port:
        client = mail.connect(port)
        client.mail(mail.SENDER)
        client.rcpt(recipient)
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: half of it\r\n\r\n")
        stack.signal(SECOND, SIGTERM)
        wait_until(lambda: not takes_connections(port))
        client.send(b"and the rest\r\n.\r\n")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 421
        client.close()
        assert stack.wait_for_end(SECOND) == 0
    mail.delivered(recipient)


def takes_connections(port: int) -> bool:
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=5).close()
    except (OSError, smtplib.SMTPException):
        return False
    return True
