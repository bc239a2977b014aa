"""Filters and searches over events: an index behind every one of them."""

from collections.abc import Iterable
from datetime import timedelta
from functools import reduce
from ipaddress import ip_address
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet, UUIDField
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter

from gateway.admin.shown import reason_words
from gateway.delivery.backlog import OPEN
from gateway.delivery.queue import lane_of
from gateway.models import Delivery, Message, RoutingRecord
from gateway.routing import replies
from gateway.routing.address import fold
from gateway.routing.replies import Reply
from gateway.use import first_id
from tenants.admin.filters import DomainEnvironmentFilter, EqualsFilter, StatesFilter
from tenants.models import Domain, NextHop, Tenant
from tenants.models.target import kind_choices

SPANS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
MOST_FOUND = 200
TENANTS_OFFERED = 100
LAST = "\U0010ffff"  # after every character
NO_HOP = (("forward", "smarthost"), ("inbox", "stored inbox"), ("discard", "discard"))
WAITING = (Delivery.State.PENDING, Delivery.State.SENDING, Delivery.State.DEFERRED)


# A gateway numbers its events by its own clock, their time is the database's.
CLOCKS_DIFFER = timedelta(minutes=5)
NEWEST = 100_000
NEWEST_JOINED = 20_000
NEWEST_OF_TENANT = 10_000


class TimeFilter(DropdownFilter):
    """`field` is the time of the listed event, which is found by its id where that is one."""

    title = "time"
    parameter_name = "within"
    field = "at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (
            ("hour", "Last hour"),
            ("day", "Last 24 hours"),
            ("week", "Last 7 days"),
            ("month", "Last 30 days"),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        span = SPANS.get(self.value() or "")
        if span is None:
            return queryset
        begin = timezone.now() - span
        if isinstance(queryset.model._meta.pk, UUIDField):
            queryset = queryset.filter(pk__gte=first_id(begin - CLOCKS_DIFFER))
        return queryset.filter(**{f"{self.field}__gte": begin})


class ReceivedFilter(TimeFilter):
    field = "received_at"


class MinuteFilter(TimeFilter):
    field = "minute"


class ReasonFilter(EqualsFilter):
    title = "reason"
    parameter_name = "reason"
    path = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        catalogue = {row.reason for row in vars(replies).values() if isinstance(row, Reply)}
        return [(reason, reason_words(reason)) for reason in sorted(catalogue)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Those of records are among the refused ones, of which there is an index."""
        found = super().queryset(request, queryset)
        if not self.value() or queryset.model is not RoutingRecord:
            return found
        return found.filter(accepted=self.value() == replies.ACCEPTED.reason)


class AnswerFilter(DropdownFilter):
    """Refusals that are final, or that ask the sender to come again."""

    title = "answer"
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("refused", "Refused"), ("deferred", "Deferred"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "deferred":
            return queryset.filter(reason__in=replies.deferring_reasons())
        if self.value() == "refused":
            return queryset.exclude(reason__in=replies.deferring_reasons())
        return queryset


class ServedFilter(DropdownFilter):
    """Refusals are counted by domain, all of those not served here as one without a name."""

    title = "domain"
    parameter_name = "served"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("yes", "Served here"), ("no", "Not served here"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "no":
            return queryset.filter(domain_name="")
        return queryset.exclude(domain_name="") if self.value() == "yes" else queryset


class RefusedTenantFilter(DropdownFilter):
    """Refusals are counted by domain: those that a tenant's verified domains have now.

    Offers the first tenants by name, and the one that a link chose.
    """

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        chosen = request.GET.get(self.parameter_name, "")
        named = Tenant.objects.filter(pk=chosen) if _is_id(chosen) else Tenant.objects.none()
        rows = {row.pk: row.name for row in (*named, *Tenant.objects.all()[:TENANTS_OFFERED])}
        return [(str(pk), name) for pk, name in rows.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value() or ""
        if not _is_id(chosen):
            return queryset
        domains = Domain.objects.receiving().filter(tenant=chosen)
        return queryset.filter(domain_name__in=domains.values("name"))


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


class KindFilter(EqualsFilter):
    """Among the newest deliveries: there is no index, since each would cost at wire speed."""

    title = f"kind, of the newest {NEWEST:,}"
    parameter_name = "kind"
    path = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return kind_choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        found = super().queryset(request, queryset)
        return of_newest(found) if self.value() else found


class WaitingFilter(StatesFilter):
    """One state by one, since each has an index of its own."""

    title = "waiting"
    parameter_name = "waiting"
    choice = ("yes", "Not settled yet")
    states = WAITING

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        return queryset.filter(reduce(or_, (Q(state=state) for state in self.states)))


class KeptBackFilter(EqualsFilter):
    title = "kept back by"
    parameter_name = "kept"
    path = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return ((Delivery.State.QUARANTINED, "Crashes"), (Delivery.State.HELD, "Policy or staff"))


class DestinationFilter(DropdownFilter):
    """Deliveries that wait for one thing together: a kind and its next hop, as in mailbox:7.

    Offers what is no next hop, and the one that a link chose; any next hop is HopFilter's.
    """

    title = "destination"
    parameter_name = "lane"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        chosen = request.GET.get(self.parameter_name, "")
        _, _, number = chosen.partition(":")
        hops = NextHop.objects.filter(pk=number) if number.isdecimal() else NextHop.objects.none()
        others = [(lane_of(kind, None), name) for kind, name in NO_HOP]
        return [*((chosen, hop.name) for hop in hops), *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return in_lane(queryset, self.value()) if self.value() else queryset


class AmongNewest:
    """Of what is settled there is no index: a choice is looked for among the newest, as a kind."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        found = super().queryset(request, queryset)  # type: ignore[misc]
        return newest_or_open(request, found) if self.value() else found  # type: ignore[attr-defined]


class AnyDestinationFilter(AmongNewest, DestinationFilter):
    """Also of what is settled."""

    title = f"destination; of the newest {NEWEST:,} unless they wait"


class HopFilter(AmongNewest, AutocompleteSelectFilter):
    """Any next hop, by the beginning of its name."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.title = f"next hop; of the newest {NEWEST:,} unless they wait"


class DomainFilter(AutocompleteSelectFilter):
    """Among the newest events of the domain's tenant, which an index finds: domains have none."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.title = f"domain, of its tenant's newest {NEWEST_OF_TENANT:,}"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        found = super().queryset(request, queryset)
        if not self.value():
            return found
        domain = Domain.objects.filter(pk=self.value()).only("tenant_id").first()
        return newest_of_tenant(found, domain.tenant_id) if domain else found.none()


class EventEnvironmentFilter(DomainEnvironmentFilter):
    """Among the newest events, as KindFilter."""

    title = f"environment, of the newest {NEWEST:,}"
    domain = "domain"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return of_newest(self.among(queryset)) if self.value() else queryset

    def among(self, queryset: QuerySet) -> QuerySet:
        named = Domain.objects.filter(environment=self.value())
        return queryset.filter(**{f"{self.domain}__in": named.values("pk")})


class DeliveryEnvironmentFilter(EventEnvironmentFilter):
    """As its record's, which takes a look at each record; of what waits, all of it."""

    title = f"environment; of the newest {NEWEST_JOINED:,} unless they wait"
    domain = "record__domain"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        return newest_or_open(request, self.among(queryset), most=NEWEST_JOINED)


class KeptEnvironmentFilter(DeliveryEnvironmentFilter):
    """Of what is kept back, which is little."""

    title = "environment"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return self.among(queryset) if self.value() else queryset


class ClientFilter(DropdownFilter):
    """One client that a link chose, among the newest records; its refusals among the newest
    refusals, of which there is an index. There is none of clients.
    """

    title = f"client, of the newest {NEWEST:,}"
    parameter_name = "client__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        chosen = request.GET.get(self.parameter_name, "")
        return [(chosen, chosen)] if chosen else []

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        try:
            found = queryset.filter(client=str(ip_address(self.value())))
        except ValueError:
            return queryset.none()
        is_refused = request.GET.get("accepted__exact") == "0"
        return of_newest_refused(found) if is_refused else of_newest(found)


def newest_or_open(request: HttpRequest, rows: QuerySet, *, most: int = 0) -> QuerySet:
    """All of the deliveries where only open ones are asked for, else those among the newest."""
    is_open = request.GET.get("state__exact") in OPEN or request.GET.get("waiting") == "yes"
    return rows if is_open else of_newest(rows, most)


def newest_of_tenant(rows: QuerySet, tenant_id: int) -> QuerySet:
    """Those of a tenant's rows that are among its NEWEST_OF_TENANT events of their table."""
    events = rows.model._default_manager.filter(tenant=tenant_id).order_by("-pk")
    ids = events.values_list("pk", flat=True)
    oldest = ids[NEWEST_OF_TENANT : NEWEST_OF_TENANT + 1].first()
    mine = rows.filter(tenant=tenant_id)
    return mine if oldest is None else mine.filter(pk__gt=oldest)


def of_newest(rows: QuerySet, most: int = 0) -> QuerySet:
    """Those of the rows that are among the newest events of their table: `most`, else NEWEST."""
    most = most or NEWEST
    ids = rows.model._default_manager.order_by("-pk").values_list("pk", flat=True)
    oldest = ids[most : most + 1].first()
    return rows if oldest is None else rows.filter(pk__gt=oldest)


def of_newest_refused(records: QuerySet) -> QuerySet:
    """Those of the records that are among the NEWEST refused ones."""
    refused = records.model._default_manager.filter(accepted=False).order_by("-at")
    oldest = refused.values_list("at", flat=True)[NEWEST : NEWEST + 1].first()
    mine = records.filter(accepted=False)
    return mine if oldest is None else mine.filter(at__gt=oldest)


def in_lane(deliveries: QuerySet, lane: str) -> QuerySet:
    """Those of a lane; none where nothing is called so."""
    kind, _, number = lane.partition(":")
    if not number.isdecimal():
        return deliveries.none()
    return deliveries.filter(kind=kind, hop=int(number) or None)


def find_records(queryset: QuerySet, term: str) -> QuerySet:
    """By the beginning of an address, a queue id or a Message-ID."""
    text = term.strip()
    if not text:
        return queryset
    found = Q(queue_id=text) | _to_beginning(text)
    if messages := _messages_called(text):
        found |= Q(message__in=messages)
    return queryset.filter(found)


def find_messages(queryset: QuerySet, term: str) -> QuerySet:
    """By queue id, Message-ID, or the beginning of a recipient's address."""
    text = term.strip()
    if not text:
        return queryset
    ids = [*_messages_called(text), *_messages_to(text)]
    return queryset.filter(Q(queue_id=text) | Q(pk__in=ids))


def find_deliveries(queryset: QuerySet, term: str) -> QuerySet:
    """By queue id, Message-ID, or the beginning of the recipient that was written to."""
    text = term.strip()
    if not text:
        return queryset
    named = list(Message.objects.filter(queue_id=text).values_list("pk", flat=True))
    records = RoutingRecord.objects.filter(_to_beginning(text))
    newest = list(records.order_by("-id").values_list("pk", flat=True)[:MOST_FOUND])
    return queryset.filter(Q(message__in=[*named, *_messages_called(text)]) | Q(record__in=newest))


def _to_beginning(text: str) -> Q:
    """Records of recipients that begin like this, from the index of their keys."""
    key = fold(text.strip("<>"))
    return Q(key__startswith=key, key__gte=key, key__lt=f"{key}{LAST}")


def _messages_called(text: str) -> list[Any]:
    if "@" not in text:
        return []
    names = {text, f"<{text.strip('<>')}>"}
    rows = Message.objects.filter(message_id__in=names).order_by("-id")
    return list(rows.values_list("pk", flat=True)[:MOST_FOUND])


def _messages_to(text: str) -> list[Any]:
    records = RoutingRecord.objects.filter(_to_beginning(text))
    with_message = records.exclude(message=None).order_by("-id")
    return list(with_message.values_list("message_id", flat=True)[:MOST_FOUND])
