"""A small installation as an operator might run one, to be looked at: a bookshop and a clinic.

Written as in production: rows through `changes` and the services, mail through the stack's gateway
and workers. Only the past of the charts is put in, since nobody waits for a day to go by.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from gateway import concerns, use
from gateway.delivery import actions
from gateway.models import Delivery, RefusalCount, RoutingRecord
from gateway.watch.models import Alarm, AlarmRecipient, TrafficCount
from mailrouting.staff import establish_roles, give_role
from tenants import changes, jobs
from tenants.changes import Actor
from tenants.imports.reading import Format, read
from tenants.jobs import importing
from tenants.models import (
    Address,
    Alias,
    Domain,
    Job,
    Mailbox,
    NextHop,
    SavedView,
    Source,
    SubaddressRule,
    Target,
    Tenant,
)
from tenants.moving_in.keeping import keep
from tenants.moving_in.reading import read_dump
from tenants.roles import Role
from tenants.services import expected_of
from tests import world
from tests.dns_server import DnsWorld
from tests.e2e import mail
from tests.e2e.stack import HOSTNAME
from tests.gateway.sink import Sink, free_port
from tests.staff import client_of, make_staff
from tests.tenants.moving_in.dumps import POSTFIXADMIN, mysqldump
from tests.waiting import wait_until

SHOP, ARRIVING = "meridian-books.example", "paperback.example"
STAFF = "dana.okafor"
LETTER = (
    b"From: Ann Lindqvist <ann@sender.example>\r\nTo: Orders <orders@meridian-books.example>\r\n"
    b"Subject: =?utf-8?Q?Bestellung_f=C3=BCr_Mai?=\r\nMessage-ID: <8f1c@sender.example>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Good morning,\r\n\r\nplease put twelve copies of \xe2\x80\x9eDie Vermessung der Welt"
    b"\xe2\x80\x9c aside for us.\r\nWe will fetch them on Friday.\r\n\r\n"
    b"Kind regards\r\nAnn Lindqvist\r\n"
)
NEW_ADDRESSES = f"""\
address;targets;note
readings@{SHOP};forward events@partner.example;Evenings in the shop
press@{SHOP};inbox;Review copies
orders@{SHOP};inbox;Orders from the shop
fax@{SHOP};fax 4711;
loop@{SHOP};forward loop@{SHOP};
""".encode()
OLD_SERVER: dict[str, list[Any]] = {
    "domain": [
        {"domain": name, "transport": "virtual", "backupmx": 0, "active": 1}
        for name in (ARRIVING, SHOP)
    ],
    "mailbox": [
        {"username": f"{name}@{ARRIVING}", "name": name, "active": 1}
        for name in ("maria", "tom", "accounts")
    ],
    "alias": [
        {"address": f"{name}@{ARRIVING}", "goto": goto, "active": 1}
        for name, goto in (
            *((name, f"{name}@{ARRIVING}") for name in ("maria", "tom", "accounts")),
            ("info", f"maria@{ARRIVING},tom@{ARRIVING}"),
            ("wholesale", "sales@distributor.example"),
            ("away", f"tom@{ARRIVING},|/usr/bin/vacation"),
        )
    ]
    + [
        {"address": f"{name}@{SHOP}", "goto": goto, "active": 1}
        for name, goto in (
            ("orders", "jo@store.example,sam@store.example"),
            ("newsletter", "list@partner.example"),
            ("jobs", "hiring@partner.example"),
            ("catalogue", "jo@store.example"),
            ("returns", "desk@partner.example"),
        )
    ],
}


@dataclass(frozen=True, slots=True)
class Installation:
    """What there is to look at, by number or name, and somebody's session to look with."""

    session: str
    tenant: int
    domain: int
    pending: int
    degraded: int
    alias: int
    address: str
    mailbox: int
    hop: int
    foretold: int
    unanswered: int  # a job whose form is still to be filled
    done: int
    imported: int
    source: int
    view: int
    deferred: str  # routing records
    returned: str
    refused: str
    delivery: str
    message: str
    alarm: int
    recipient: int
    user: int


class Builder:
    """Builds it step by step; `actor` is the one who did all of it."""

    def __init__(self, smtp_port: int, dns: DnsWorld, store: Sink) -> None:
        self.smtp_port, self.dns, self.store = smtp_port, dns, store
        self.staff = make_staff(STAFF)
        self.actor = Actor(surface="admin", user=self.staff, client="198.51.100.7")

    def build(self) -> Installation:
        self._make_tenants()
        self._make_domains()
        self._make_addresses()
        self._make_others()
        self._take_mail()
        self._keep_back()
        self._put_in_the_past()
        view = self._save_view()
        users = self._make_users()
        deferred, refused = self._record("orders"), self._record("nobody")
        delivery = Delivery.objects.filter(record=deferred).exclude(state="delivered")[0]
        recipient = self._add_recipient()
        return Installation(
            session=client_of(self.staff).cookies[settings.SESSION_COOKIE_NAME].value,
            tenant=self.shop.pk,
            domain=self.domain.pk,
            pending=self.pending.pk,
            degraded=self.degraded.pk,
            alias=self.orders.pk,
            address=self.orders.key,
            mailbox=self.jo.pk,
            hop=self.jo.next_hop_id,
            done=self._disable().pk,
            foretold=self._foretell().pk,
            unanswered=self._ask().pk,
            imported=self._import().pk,
            source=self._move_in().pk,
            view=view.pk,
            deferred=str(deferred.pk),
            returned=str(self._record("returns").pk),
            refused=str(refused.pk),
            delivery=str(delivery.pk),
            message=str(deferred.message_id),
            alarm=self._wait_for_alarm().pk,
            recipient=recipient.pk,
            user=users[0].pk,
        )

    # --- who and what ---------------------------------------------------------------

    def _save(self, row: Any, reason: str = "") -> Any:
        return changes.save(row, actor=self.actor, reason=reason)

    def _make_tenants(self) -> None:
        plan = world.make_plan(
            "Business", max_domains=10, max_addresses=25, messages_per_hour=500, retention_days=30
        )
        self.shop = self._save(Tenant(name="Meridian Books", external_id="meridian", plan=plan))
        self.clinic = self._save(Tenant(name="Harbour Clinic", external_id="harbour", plan=plan))
        self.store_hop = self._hop("store", self.store.port)
        self.broken_hop = self._hop("old store", free_port())

    def _hop(self, name: str, port: int) -> NextHop:
        values = {"host": "127.0.0.1", "port": port, "tls": NextHop.Tls.NONE}
        hop: NextHop = self._save(NextHop(tenant=self.shop, name=name, **values))
        return hop

    def _make_domains(self) -> None:
        active = {"state": Domain.State.ACTIVE}
        self.domain = self._domain(self.shop, SHOP, smarthost=self.store_hop, **active)
        self.pending = self._domain(self.shop, ARRIVING)
        self._domain(self.shop, f"staging.{SHOP}", environment="staging", **active)
        self.harbour = self._domain(self.clinic, "harbour-clinic.example", **active)
        self.degraded = self._domain(
            self.clinic, "old-harbour.example", **(active | {"state": Domain.State.DEGRADED})
        )
        self.dns.serve(ARRIVING, {f"{ARRIVING} MX": ["10 mail.paperback.example."]})
        published = {f"{each.name} {each.rdtype}": each.values for each in expected_of(self.domain)}
        self.dns.serve(SHOP, published | {f"{SHOP} MX": [f"10 {HOSTNAME}."]})

    def _domain(self, tenant: Tenant, name: str, **fields: Any) -> Domain:
        domain: Domain = self._save(Domain(tenant=tenant, name=name, **fields))
        return domain

    def _mailbox(self, address: str, hop: NextHop) -> Mailbox:
        box: Mailbox = self._save(Mailbox(tenant=self.shop, address=address, next_hop=hop))
        return box

    def _alias(
        self, name: str, *targets: Target, domain: Domain | None = None, **fields: Any
    ) -> Alias:
        alias = Alias(domain=domain or self.domain, local_part=name, **fields)
        targets = targets or (world.to_inbox(),)
        for position, target in enumerate(targets):
            target.address, target.position = alias, position
        changes.save_all([alias, *targets], actor=self.actor)
        return alias

    def _make_addresses(self) -> None:
        jo, sam = ("jo@store.example", "sam@store.example")
        self.jo, broken = self._mailbox(jo, self.store_hop), self._mailbox(sam, self.broken_hop)
        to_jo = world.to_mailbox
        self.orders = self._alias(
            "orders", to_jo(self.jo), to_jo(broken), purpose="Orders from the shop"
        )
        self._alias("sales", world.to_forward(self.orders.key), world.to_inbox())
        self._alias("newsletter", world.to_forward("list@partner.example"))
        self._alias("events", to_jo(self.jo), expires_at=timezone.now() + timedelta(days=4))
        self.moved = self._alias("returns", purpose="Until the new desk opens")
        self.gone = self._alias("intern", to_jo(self.jo))
        for name in ("invoices", "jobs", "press", "events-2027"):
            self._alias(name, to_jo(self.jo))
        for name in ("appointments", "lab", "reception"):
            self._alias(name, domain=self.harbour)
        self.bare = self._alias("wholesale")
        self.bare.targets.all().delete()
        world.make_role(self.domain, "postmaster", holder=self.jo)
        world.make_role(self.domain, "abuse", holder=self.jo)

    def _make_others(self) -> None:
        rule = {"detail": "spam", "action": SubaddressRule.Action.REFUSE}
        self._save(SubaddressRule(address=Address.objects.get(pk=self.orders.pk), **rule))
        changes.delete(self.gone, actor=self.actor, reason="Left at the end of June")
        self.orders.purpose = "Orders from the shop and by telephone"
        self._save(self.orders, "Asked for by Meridian, ticket 4711")

    # --- mail -------------------------------------------------------------------------

    def _take_mail(self) -> None:
        names = ("orders", "sales", "newsletter", "invoices", "press", "returns", "intern")
        for name in (*names, "nobody", "webmaster", "orders+spam", "orders+may"):
            mail.send(self.smtp_port, f"{name}@{SHOP}", LETTER, sender="ann@sender.example")
        mail.send(self.smtp_port, "lab@harbour-clinic.example", LETTER)
        mail.ask(self.smtp_port, "someone@elsewhere.example")
        put_off = Delivery.objects.filter(record__tenant=self.shop, state="deferred")
        wait_until(put_off.exists)
        wait_until(lambda: RoutingRecord.objects.filter(recipient=f"nobody@{SHOP}").exists())

    def _record(self, name: str) -> RoutingRecord:
        return RoutingRecord.objects.filter(recipient=f"{name}@{SHOP}").latest("at")

    def _keep_back(self) -> None:
        kept = Delivery.objects.filter(record=self._record("sales"), kind="mailbox")
        kept = kept.filter(state__in=("pending", "deferred"))
        wait_until(kept.exists)
        reason = "The customer asked to wait, ticket 4712"
        wait_until(
            lambda: actions.hold([each.pk for each in kept], actor=self.actor, reason=reason) > 0
        )

    def _put_in_the_past(self) -> None:
        """A day of charts, busier by day than by night; and when addresses last got mail."""
        now = timezone.now().astimezone(UTC).replace(second=0, microsecond=0)
        chance, rows = random.Random(4), []
        for quarter in range(4, 92):
            start = now - timedelta(minutes=15 * quarter)
            busy = 8 + 30 * max(0.0, 1 - abs(start.hour - 13) / 8)
            for outcome, reason, share in PAST:
                count = round(busy * share * chance.uniform(0.6, 1.4))
                rows += self._counted(start, outcome, reason, count)
        TrafficCount.objects.bulk_create(rows, ignore_conflicts=True)
        RefusalCount.objects.bulk_create(
            RefusalCount(domain_name=SHOP, reason=reason, minute=now, count=count)
            for reason, count in (("sender-not-allowed", 3), ("rate", 2))
        )
        use.stamp(now=timezone.now(), most_seconds=30)
        concerns.look_over(now=timezone.now())

    def _counted(
        self, start: datetime, outcome: str, reason: str, count: int
    ) -> list[TrafficCount]:
        values = {"start": start, "outcome": outcome, "reason": reason, "count": count}
        return [
            TrafficCount(span=TrafficCount.Span.MINUTE, tenant_id=tenant, **values)
            for tenant in (0, self.shop.pk)
            if count
        ]

    # --- work -------------------------------------------------------------------------

    def _draft(self, kind: str, title: str, rows: Any) -> Job:
        job = jobs.draft(
            kind, title=title, actor=self.actor, permission="tenants.change_alias", parameters={}
        )
        jobs.list_rows(job, rows, label="key")
        return job

    def _foretell(self) -> Job:
        rows = Alias.objects.filter(domain=self.domain)
        return jobs.check(self._draft("addresses.enable", "Enable: aliases", rows))

    def _ask(self) -> Job:
        rows = Alias.objects.filter(domain=self.domain, key__startswith="e")
        return self._draft("addresses.retarget", "Deliver to …: aliases", rows)

    def _disable(self) -> Job:
        rows = Alias.objects.filter(pk__in=[self.moved.pk, self.bare.pk])
        job = jobs.check(self._draft("addresses.disable", "Disable: aliases", rows))
        jobs.describe(job, reason="The desk for returns has closed")
        return jobs.apply(job)

    def _import(self) -> Job:
        job = importing.draft(
            list(read(NEW_ADDRESSES, Format.CSV)),
            source="addresses.csv",
            actor=self.actor,
            tenant=self.shop,
        )
        return jobs.check(job)

    def _move_in(self) -> Source:
        dump = mysqldump(POSTFIXADMIN, OLD_SERVER).encode()
        return keep(
            read_dump("postfixadmin", BytesIO(dump), domains=[]),
            tenant=self.shop,
            next_hop=self.store_hop,
            product="postfixadmin",
            name="postfixadmin.sql",
            domains=[],
            actor=self.actor,
        )

    # --- who looks ----------------------------------------------------------------------

    def _save_view(self) -> SavedView:
        values = {"listed": "tenants.alias", "query": "concern=broken", "is_shared": True}
        view = SavedView(author=self.staff, name="Mail that is lost", **values)
        self._save(view)
        other = {"listed": "tenants.alias", "query": "expiry=week", "is_shared": False}
        self._save(SavedView(author=self.staff, name="Expiring soon", **other))
        return view

    def _make_users(self) -> list[User]:
        establish_roles()
        users = [make_staff(name, is_superuser=False) for name in ("kim.berg", "lee.auditor")]
        for user, role in zip(users, (Role.OPERATOR, Role.AUDITOR), strict=True):
            give_role(user, role, actor=self.actor, reason="New in the team")
        return users

    def _add_recipient(self) -> AlarmRecipient:
        """Told of nothing here, so that no other story finds mail that it did not cause."""
        values = {"address": "on-call@staff.example", "kinds": ["domain", "queue"]}
        recipient: AlarmRecipient = self._save(
            AlarmRecipient(name="Night shift", enabled=False, **values)
        )
        return recipient

    def _wait_for_alarm(self) -> Alarm:
        found = Alarm.objects.filter(tenant=self.clinic)
        wait_until(found.exists)
        return found.latest("pk")


PAST = (
    ("accepted", "accepted", 1.0),
    ("refused", "unknown-address", 0.32),
    ("refused", "relay-denied", 0.12),
    ("refused", "disabled", 0.06),
    ("deferred", "rate", 0.05),
)
