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
from datetime import datetime, timedelta
from typing import Any

from aiosmtpd.controller import Controller
from django.utils import timezone

from gateway.models import Delivery, RoutingRecord
from mailrouting.supervisor import choose_free
from tenants import changes, services
from tenants.changes import Actor
from tenants.models import Alias, Domain, Mailbox, NextHop, Plan, Target, Tenant

ACTOR = Actor.system("demo")
SENDER = "visitor@sender.example"
DEADLINE_SECONDS = 40
DOMAIN = services.DEMO_DOMAIN


@dataclass(frozen=True, slots=True)
class Case:
    """One message to send. `declared` is the SIZE that MAIL announces, in octets.

    `rule` is empty where MAIL is refused, which no record is made of. The message carries as many
    Received lines as it made `hops` before.
    """

    recipient: str
    reply: str
    rule: str
    delivered: str = ""
    sender: str = SENDER
    declared: int | None = None
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A case's message on its way: the reply to it, and between which moments it was given."""

    case: Case
    reply: str
    began: datetime
    ended: datetime


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
    Case(f"hello@{DOMAIN}", "554 5.4.6 Too many hops", f"alias hello@{DOMAIN}", hops=51),
    Case(f"hello@{DOMAIN}", "552 5.3.4", "", declared=10**12),
    Case("jo1@strict.example", "550 5.7.1 Recipient address refused", "domain strict.example"),
    Case("jo@unproved.example", "550 5.7.1 Relaying denied", "domain unproved.example"),
    Case(
        "anyone@paused.example", "450 4.2.1 Address is temporarily", "alias anyone@paused.example"
    ),
    Case("anyone@abused.example", "550 5.7.1 Delivery not", "alias anyone@abused.example"),
    Case("anyone@left.example", "550 5.2.1 Address is no longer", "alias anyone@left.example"),
    Case("anyone@hasty.example", "250 2.0.0", "alias anyone@hasty.example", "stored inbox"),
    Case("anyone@hasty.example", "450 4.7.1 Quota exceeded", "alias anyone@hasty.example"),
    Case("anyone@full.example", "250 2.0.0", "alias anyone@full.example", "stored inbox"),
    Case("anyone@full.example", "450 4.2.2 Quota exceeded", "alias anyone@full.example"),
    Case(f"nobody@{DOMAIN}", "550 5.1.1 No such", f"domain {DOMAIN}"),
    Case("jo@elsewhere.example", "550 5.7.1 Relaying denied", "domain elsewhere.example"),
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
    _domain(demo.tenant, "strict.example", local_part_pattern="[a-z]+")
    _domain(demo.tenant, "unproved.example", state=Domain.State.PENDING)
    _prepare_tenants(demo.tenant.plan)


def _prepare_tenants(plan: Plan) -> None:
    """Tenants whose mail is refused for what they are or have used up."""
    why = "to show what becomes of its mail"
    services.suspend_tenant(_tenant("paused", plan), actor=ACTOR, reason=why)
    services.suspend_tenant(_tenant("abused", plan), actor=ACTOR, reason=why, for_abuse=True)
    services.close_tenant(_tenant("left", plan), actor=ACTOR, reason=why)
    _tenant("hasty", Plan(name="Demo: a message an hour", messages_per_hour=1))
    _tenant("full", Plan(name="Demo: a message stored", stored_octets=500))


def _tenant(name: str, plan: Plan) -> Tenant:
    """A tenant with an address anyone@<name>.example."""
    tenant = Tenant(external_id=f"demo-{name}", name=name.capitalize(), plan=plan)
    changes.save_all([plan, tenant] if plan.pk is None else [tenant], actor=ACTOR)
    _alias(_domain(tenant, f"{name}.example"), "anyone", Target(kind="inbox"))
    return tenant


def _domain(tenant: Tenant, name: str, **fields: Any) -> Domain:
    given = {"state": Domain.State.ACTIVE} | fields
    return changes.save(Domain(tenant=tenant, name=name, **given), actor=ACTOR)


def _alias(domain: Domain, local_part: str, *targets: Target, **fields: Any) -> None:
    alias = Alias(domain=domain, local_part=local_part, **fields)
    services.save_address(alias, targets, actor=ACTOR)


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
    """Send all cases in turn, then report each once its deliveries have come to rest."""
    for sent in [_sent(host, port, number, case) for number, case in enumerate(CASES, 1)]:
        if not sent.case.rule:
            yield Row(sent.case, sent.reply, "", "")
            continue
        record = _record_of(sent)
        yield Row(sent.case, sent.reply, record.rule, _delivered(record, store))


def _sent(host: str, port: int, number: int, case: Case) -> Sent:
    began = timezone.now()
    reply = send(host, port, case, f"<demo-{number}-{time.time_ns()}@sender.example>")
    return Sent(case, reply, began, timezone.now())


def send(host: str, port: int, case: Case, message_id: str) -> str:
    """One message over SMTP; the reply that decided it."""
    trace = "Received: from somewhere by somewhere.example; a while ago\r\n" * case.hops
    body = f"{trace}Message-ID: {message_id}\r\nSubject: Demo\r\n\r\nA message of the demo.\r\n"
    with smtplib.SMTP(host, port, local_hostname="sender.example", timeout=20) as client:
        client.ehlo()
        options = [f"SIZE={case.declared}"] if case.declared else []
        answer = client.mail(case.sender, options)
        if answer[0] < 400:
            answer = client.rcpt(case.recipient)
        return _text(client.data(body) if answer[0] < 400 else answer)


def _text(answer: tuple[int, bytes]) -> str:
    return f"{answer[0]} {answer[1].decode()}"


def _record_of(sent: Sent) -> RoutingRecord:
    while_sent = RoutingRecord.objects.filter(
        recipient=sent.case.recipient, at__range=(sent.began, sent.ended)
    )
    wait_for(while_sent.exists, f"the routing record of {sent.case.recipient}")
    return while_sent.latest("id")


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
