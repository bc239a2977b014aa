"""The demonstration: real messages through a running installation, each outcome checked.

Every case says what is sent, which reply it has to get, which rule has to decide it and where
it has to arrive. What is compared comes from the wire, the
routing records and a mail store of its own.
"""

import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aiosmtpd.controller import Controller
from django.utils import timezone

from gateway.models import Delivery, RoutingRecord
from mailrouting.supervisor import choose_free
from tenants import changes, services
from tenants.changes import Actor
from tenants.models import Alias, Domain, Mailbox, NextHop, Target, Tenant

ACTOR = Actor.system("demo")
SENDER = "visitor@sender.example"
DEADLINE_SECONDS = 40
DOMAIN = services.DEMO_DOMAIN


@dataclass(frozen=True, slots=True)
class Case:
    """One message to send. `declared` is the SIZE that MAIL announces, in octets."""

    recipient: str
    reply: str
    rule: str
    delivered: str = ""
    sender: str = SENDER
    declared: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a case."""

    case: Case
    reply: str
    rule: str
    delivered: str

    @property
    def is_as_expected(self) -> bool:
        case = self.case
        return (
            self.reply.startswith(case.reply)
            and case.rule in self.rule
            and (case.delivered in self.delivered if case.delivered else not self.delivered)
        )


CASES = (
    Case(f"hello@{DOMAIN}", "250 2.0.0", f"alias hello@{DOMAIN}", "stored inbox"),
    Case(f"Hello+News@{DOMAIN}", "250 2.0.0", f"alias hello@{DOMAIN}", "stored inbox"),
    Case(f"hello+spam@{DOMAIN}", "550 5.1.1", "subaddress rule spam"),
    Case(f"team@{DOMAIN}", "250 2.0.0", f"alias team@{DOMAIN}", "team@mail.demo.example"),
    Case(f"support@{DOMAIN}", "250 2.0.0", "role support", "team@mail.demo.example"),
    Case(f"postmaster@{DOMAIN}", "250 2.0.0", "role postmaster", "stored inbox"),
    Case(f"forward@{DOMAIN}", "250 2.0.0", f"alias forward@{DOMAIN}", "stored inbox"),
    Case(f"away@{DOMAIN}", "250 2.0.0", f"alias away@{DOMAIN}", "jo@elsewhere.example, from SRS0="),
    Case(f"noreply@{DOMAIN}", "250 2.0.0", f"alias noreply@{DOMAIN}", "discard"),
    Case(f"later@{DOMAIN}", "250 2.0.0", f"alias later@{DOMAIN}", "deferred: 451"),
    Case(f"partners@{DOMAIN}", "550 5.7.1", f"alias partners@{DOMAIN}"),
    Case(
        f"partners@{DOMAIN}",
        "250 2.0.0",
        f"alias partners@{DOMAIN}",
        "stored inbox",
        sender="ann@partner.example",
    ),
    Case(f"closed@{DOMAIN}", "550 5.2.1 Address is disabled", f"alias closed@{DOMAIN}"),
    Case(f"moment@{DOMAIN}", "550 5.2.1 Address has expired", f"alias moment@{DOMAIN}"),
    Case(f"small@{DOMAIN}", "552 5.2.3", f"alias small@{DOMAIN}", declared=20_000),
    Case(f"busy@{DOMAIN}", "250 2.0.0", f"alias busy@{DOMAIN}", "stored inbox"),
    Case(f"busy@{DOMAIN}", "250 2.0.0", f"alias busy@{DOMAIN}", "stored inbox"),
    Case(f"busy@{DOMAIN}", "450 4.2.1", f"alias busy@{DOMAIN}"),
    Case("anyone@paused.example", "450 4.2.1", "alias anyone@paused.example"),
    Case(f"nobody@{DOMAIN}", "550 5.1.1", f"domain {DOMAIN}"),
    Case("jo@elsewhere.example", "550 5.7.1", "domain elsewhere.example"),
)


@dataclass  # without slots: aiosmtpd looks through every attribute of its handler
class MailStore:
    """A real SMTP server for the demo's mailboxes and forwards: takes mail, defers `later@`."""

    arrived: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if address.startswith("later@"):
            return "451 4.2.0 The mailbox is busy, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.arrived += [(recipient, envelope.mail_from) for recipient in envelope.rcpt_tos]
        return "250 2.0.0 Ok"


@contextmanager
def mail_store() -> Iterator[tuple[MailStore, int]]:
    """A mail store on a free loopback port, and that port."""
    store, port = MailStore(), choose_free(["127.0.0.1"])[0]
    controller = Controller(store, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield store, port
    finally:
        controller.stop()


def prepare(store_port: int) -> None:
    """The demo tenant with its mailboxes at our store, and what only this demonstration shows."""
    demo = services.create_demo_tenant(actor=ACTOR)
    hop = NextHop.objects.get(tenant=demo.tenant)
    hop.port = store_port
    changes.save(hop, actor=ACTOR, reason="the demo's own mail store")
    demo.domain.smarthost = hop
    changes.save(demo.domain, actor=ACTOR, reason="forwards go to the demo's own mail store")
    later = Mailbox(tenant=demo.tenant, address="later@mail.demo.example", next_hop=hop)
    changes.save(later, actor=ACTOR)
    _alias(demo.domain, "later", Target(kind="mailbox", mailbox=later))
    _alias(demo.domain, "away", Target(kind="forward", forward_to="jo@elsewhere.example"))
    soon = timezone.now() + timedelta(seconds=1)
    _alias(demo.domain, "moment", Target(kind="inbox"), expires_at=soon)
    _suspended_tenant(demo.tenant)


def _alias(domain: Domain, local_part: str, target: Target, **fields: Any) -> None:
    alias = Alias(domain=domain, local_part=local_part, **fields)
    services.save_address(alias, [target], actor=ACTOR)


def _suspended_tenant(demo: Tenant) -> None:
    tenant = Tenant(external_id="demo-paused", name="Paused", plan=demo.plan)
    domain = Domain(tenant=tenant, name="paused.example", state=Domain.State.ACTIVE)
    changes.save_all([tenant, domain], actor=ACTOR)
    _alias(domain, "anyone", Target(kind="inbox"))
    tenant.state = Tenant.State.SUSPENDED
    changes.save(tenant, actor=ACTOR, reason="to show how its mail waits")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds. Raises TimeoutError naming what was waited for."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {DEADLINE_SECONDS} s in vain for {what}.")
        time.sleep(0.05)


def beat_has_expired_an_address() -> bool:
    """Whether the scheduled job has switched `moment@` off."""
    return Alias.objects.filter(key=f"moment@{DOMAIN}", enabled=False).exists()


def run(host: str, port: int, store: MailStore) -> Iterator[Row]:
    """Send each case and report it once its deliveries have come to rest."""
    for number, case in enumerate(CASES, 1):
        message_id = f"<demo-{number}-{time.time_ns()}@sender.example>"
        started = timezone.now()
        reply = send(host, port, case, message_id)
        record = _record_of(case, started)
        yield Row(case, reply, record.rule, _delivered(record, store))


def send(host: str, port: int, case: Case, message_id: str) -> str:
    """One message over SMTP; the reply that decided it."""
    body = f"Message-ID: {message_id}\r\nSubject: Demo\r\n\r\nA message of the demo.\r\n"
    with smtplib.SMTP(host, port, local_hostname="sender.example", timeout=20) as client:
        client.ehlo()
        options = [f"SIZE={case.declared}"] if case.declared else []
        for answer in (client.mail(case.sender, options), client.rcpt(case.recipient)):
            if answer[0] >= 400:
                return _text(answer)
        return _text(client.data(body))


def _text(answer: tuple[int, bytes]) -> str:
    return f"{answer[0]} {answer[1].decode()}"


def _record_of(case: Case, started: Any) -> RoutingRecord:
    found = RoutingRecord.objects.filter(recipient=case.recipient, at__gte=started).order_by("-id")
    wait_for(found.exists, f"the routing record of {case.recipient}")
    return found[0]


def _delivered(record: RoutingRecord, store: MailStore) -> str:
    """Where the message went, in words; empty where it was refused."""
    waiting = record.deliveries.filter(state__in=["pending", "sending"])
    wait_for(lambda: not waiting.exists(), f"the delivery of {record.recipient}")
    return "; ".join(_describe(delivery, store) for delivery in record.deliveries.all())


def _describe(delivery: Delivery, store: MailStore) -> str:
    if delivery.state != Delivery.State.DELIVERED:
        return f"{delivery.state}: {delivery.last_reply}"
    if delivery.kind in {"inbox", "discard"}:
        return {"inbox": "stored inbox", "discard": "discarded"}[delivery.kind]
    senders = [sender for recipient, sender in store.arrived if recipient == delivery.recipient]
    if not senders:
        return f"{delivery.recipient}, which never arrived"
    return f"{delivery.recipient}, from {senders[-1]}"
