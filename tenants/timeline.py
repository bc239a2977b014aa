"""Every edit of everything of a tenant, newest first, a page at a time.

Each table of events is read from where the last page left it, in the order of its own ids, so that
the deepest page costs what the first does and no event is left out or told twice. Rows that have
been deleted count by what their events say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any, Self

from django.db.models import Exists, Model, OuterRef, Q, Subquery
from django.db.models.lookups import In

from tenants import history
from tenants.history import Edit, Source
from tenants.models import (
    Address,
    Alias,
    Domain,
    Mailbox,
    Membership,
    NextHop,
    RoleAddress,
    SendAsIdentity,
    SubaddressRule,
    Target,
    Tenant,
)
from tenants.models.source import Source as MovedFrom
from tenants.querysets import may_view

EVENTS_A_PAGE = 50
OUTSIDE = "outside"
MODELS: dict[str, type[Model]] = {
    model._meta.model_name or "": model
    for model in (
        *(Tenant, Membership, Domain, NextHop, Mailbox),
        *(Address, SubaddressRule, Target, SendAsIdentity, MovedFrom),
    )
}


KINDS: dict[str, type[Model]] = {Address.Kind.ALIAS: Alias, Address.Kind.ROLE: RoleAddress}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty means everything. A surface of OUTSIDE is nobody's."""

    model: str = ""
    actor: str = ""
    surface: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def events(self) -> Q:
        wanted = Q()
        if self.actor:
            wanted &= Q(pgh_context__metadata__actor=self.actor)
        if self.surface == OUTSIDE:
            wanted &= Q(pgh_context=None)
        elif self.surface:
            wanted &= Q(pgh_context__metadata__surface=self.surface)
        if self.since:
            wanted &= Q(pgh_created_at__gte=self.since)
        return wanted & Q(pgh_created_at__lt=self.until) if self.until else wanted


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: of each table of events, the last id that was shown."""

    ids: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` printed. Raises ValueError for anything else."""
        pairs = (part.split(":") for part in text.split(",") if part)
        return cls({name: int(number) for name, number in pairs})

    def __str__(self) -> str:
        return ",".join(f"{name}:{number}" for name, number in sorted(self.ids.items()))


@dataclass(frozen=True, slots=True)
class Page:
    """Edits, newest first; `next` is where older ones begin, None on the last page."""

    edits: list[Edit]
    next: Place | None


def sources_of_tenant(tenant_id: int, user: Any = None) -> dict[str, Source]:
    """The events of everything that is or was the tenant's, by the model's name. One query.

    With a user, of what its pages would show to that user.
    """
    domains = list(
        _events(Domain).filter(tenant_id=tenant_id).values_list("pgh_obj_id", flat=True).distinct()
    )
    of_address = {"domain_id__in": domains}
    ruled = Q(rule_id__isnull=False) & Q(In(Subquery(_domain_of_rule()), domains))
    addresses = _events(Address).filter(pgh_obj_id=OuterRef("address_id"), **of_address)
    boxes = _events(Mailbox).filter(pgh_obj_id=OuterRef("mailbox_id"), tenant_id=tenant_id)
    own = Q(tenant_id=tenant_id)
    belongs: dict[type[Model], Q] = {
        Tenant: Q(pgh_obj_id=tenant_id),
        **dict.fromkeys((Membership, Domain, NextHop, Mailbox, MovedFrom), own),
        Address: Q(**of_address),
        SubaddressRule: Q(Exists(addresses)),
        Target: Q(Exists(addresses)) | ruled,
        SendAsIdentity: Q(Exists(boxes)),
    }
    seen = belongs if user is None else _seen_by(user, belongs)
    return {
        name: Source(_events(model).model, seen[model])
        for name, model in MODELS.items()
        if model in seen
    }


def _seen_by(user: Any, belongs: Mapping[type[Model], Q]) -> dict[type[Model], Q]:
    """Without the models that the user may not view; of addresses, the kinds that may be."""
    seen = {model: where for model, where in belongs.items() if may_view(user, model)}
    kinds = [kind for kind, model in KINDS.items() if may_view(user, model)]
    seen.pop(Address, None)
    return seen | ({Address: belongs[Address] & Q(kind__in=kinds)} if kinds else {})


def _domain_of_rule() -> Any:
    """The domain of the address of the rule that an event of a target is about.

    As one value, which is looked up for a row when it is read: what a tenant's rules are would be
    found out before, among all of its addresses.
    """
    addresses = _events(Address).filter(pgh_obj_id=OuterRef("address_id")).order_by()
    rules = _events(SubaddressRule).filter(pgh_obj_id=OuterRef("rule_id")).order_by()
    domain = Subquery(addresses.values("domain_id")[:1])
    return rules.annotate(domain=domain).values("domain")[:1]


def read(tenant_id: int, wanted: Wanted, after: Place | None = None, *, user: Any = None) -> Page:
    """One page of what happened to a tenant, as far as the user may see it; None sees all.

    A query a table and one for each change shown.
    """
    sources = sources_of_tenant(tenant_id, user)
    names = [name for name in sources if wanted.model in ("", name)]
    ids = dict(after.ids) if after else {}
    found = [
        (moment, event.pgh_id, name, event)
        for name in names
        for moment, event in _told_at(
            _newest(sources[name], wanted, EVENTS_A_PAGE + 1, ids.get(name))
        )
    ]
    found.sort(key=lambda each: each[:2], reverse=True)
    shown = found[:EVENTS_A_PAGE]
    for _, _, name, event in shown:
        ids[name] = event.pgh_id
    edits = history.gather([(event, _before(event)) for *_, event in shown])
    return Page(edits, Place(ids) if len(found) > len(shown) else None)


def _told_at(events: list[Any]) -> Iterator[tuple[datetime, Any]]:
    """Each event with the moment it is put in order by; they come by their ids, newest first.

    An event has the moment its transaction began at. So that a page can end at an id, what a long
    one wrote last is told no earlier than what others wrote before that.
    """
    moments = accumulate((event.pgh_created_at for event in reversed(events)), max)
    return zip(reversed(list(moments)), events, strict=True)


def latest(tenant_id: int, most: int, *, user: Any = None) -> list[Edit]:
    """The edits of the last so many events, without the fields they changed. A query a table."""
    sources = sources_of_tenant(tenant_id, user).values()
    found = [event for source in sources for event in _newest(source, Wanted(), most)]
    found.sort(key=lambda event: (event.pgh_created_at, event.pgh_id), reverse=True)
    return history.gather([(event, None) for event in found[:most]])


def _newest(source: Source, wanted: Wanted, most: int, before_id: int | None = None) -> list[Any]:
    rows = source.events._default_manager.filter(source.belongs, wanted.events)
    rows = rows.filter(pgh_id__lt=before_id) if before_id is not None else rows
    return list(rows.select_related("pgh_context").order_by("-pgh_id")[:most])


def _before(event: Any) -> Any:
    return None if event.pgh_label == "insert" else history.predecessor(event)


def _events(model: type[Model]) -> Any:
    tracked: Any = model
    return tracked.pgh_event_model._default_manager.all()
