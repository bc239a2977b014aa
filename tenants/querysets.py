"""Reads of the control plane, chainable. Nothing here writes.

Every model names the way to its tenant in `tenant_path`; `visible_to` follows it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self

from django.contrib.auth import get_permission_codename
from django.db import models
from django.db.models import F, Max, Q
from django.db.models.functions import Coalesce, Collate, Now
from django.db.models.lookups import Exact, GreaterThanOrEqual, LessThan

from gateway.routing.facts import AddressKind, DomainState
from tenants.lookalikes import skeleton

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

RECEIVING = (DomainState.ACTIVE, DomainState.DEGRADED)

# What tenants.dns.standing lets degrade a domain, and how a record stands that does.
NEEDED_CHECKS = ("ownership", "mx")
MISSING_STATES = ("absent", "wrong")

FRESH_CLAIM = timedelta(days=7)
CHECK_FRESH_EVERY = timedelta(seconds=30)
CHECK_VERIFIED_EVERY = timedelta(hours=1)
CHECK_STALE_EVERY = timedelta(days=1)

_LAST_CHARACTER = "\U0010ffff"


def by_code_point(expression: Any) -> Collate:
    """A text in the order of its code points, in which all that begins alike stands together.

    The database's own order need not be like that, so what is looked up by its beginning has an
    index over this.
    """
    return Collate(expression, "C")


def begins(expression: Any, text: str) -> Q:
    """That a column begins with a text, from an index over `by_code_point` of the column."""
    ordered = by_code_point(expression)
    return Q(GreaterThanOrEqual(ordered, text)) & Q(LessThan(ordered, text + _LAST_CHARACTER))


def reads(expression: Any, text: str) -> Q:
    """That a column is a text, from the same index as `begins`."""
    return Q(Exact(by_code_point(expression), text))


def may_view(user: Any, model: type[models.Model]) -> bool:
    """Whether a member of staff may look at the rows of a model."""
    codename = get_permission_codename("view", model._meta)
    return bool(user.has_perm(f"{model._meta.app_label}.{codename}"))


class TenantQuerySet(models.QuerySet[Any]):
    """Rows that belong to a tenant."""

    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """What the user may see: staff what their role views, members their tenants' rows."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if getattr(user, "is_staff", False):
            return self if may_view(user, self.model) else self.none()
        path = self.model.tenant_path
        prefix = f"{path}__" if path else ""
        return self.filter(**{f"{prefix}memberships__user": user}).distinct()

    def of_tenant(self, tenant: Any) -> Self:
        """Rows of one tenant; platform-wide rows are left out."""
        return self.filter(**{self.model.tenant_path or "pk": getattr(tenant, "pk", tenant)})


class DomainQuerySet(TenantQuerySet):
    def receiving(self) -> Self:
        """Verified domains: active, or degraded by DNS trouble."""
        return self.filter(state__in=RECEIVING)

    def looking_like(self, name: str) -> Self:
        """Other domains that people may take this name, or what it is below, for."""
        labels = name.split(".")
        parents = [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]
        return self.filter(skeleton__in=map(skeleton, parents)).exclude(u_label__in=parents)

    def in_trouble(self) -> Self:
        """Degraded, or on the way there: a record that they need is missing at the moment."""
        missing = self.model._default_manager.filter(
            state__in=RECEIVING,
            checks__kind__in=NEEDED_CHECKS,
            checks__standing__in=MISSING_STATES,
        )
        return self.filter(Q(state=DomainState.DEGRADED) | Q(pk__in=missing.values("pk")))

    def released_since(self, moment: datetime) -> Self:
        """Domains that were verified once and given up later than this."""
        return self.filter(state=DomainState.RELEASED, state_since__gt=moment).exclude(
            verified_at=None
        )

    def last_release(self) -> datetime | None:
        """When the last of these domains was given up; None where there is none."""
        latest: datetime | None = self.aggregate(at=Max("state_since"))["at"]
        return latest

    def due_for_check(self, now: datetime) -> Self:
        """Claims whose DNS is to be asked again, those that waited longest first.

        Fresh claims are asked in every run, verified domains hourly, stale claims daily.
        """
        is_pending = Q(state=DomainState.PENDING)
        fresh = is_pending & Q(created_at__gt=now - FRESH_CLAIM)
        return (
            self.claimed()
            .annotate(checked_at=Max("checks__checked_at"))
            .filter(
                Q(checked_at=None)
                | fresh & Q(checked_at__lte=now - CHECK_FRESH_EVERY)
                | Q(state__in=RECEIVING, checked_at__lte=now - CHECK_VERIFIED_EVERY)
                | is_pending & Q(checked_at__lte=now - CHECK_STALE_EVERY)
            )
            .order_by(F("checked_at").asc(nulls_first=True), "pk")
        )

    def claimed(self) -> Self:
        """Everything but what has been released."""
        return self.exclude(state=DomainState.RELEASED)


class ForewarningQuerySet(TenantQuerySet):
    def current(self) -> Self:
        """About records that are still missing, of domains that are still active."""
        return self.filter(
            domain__state=DomainState.ACTIVE,
            domain__checks__kind=F("kind"),
            domain__checks__since=F("missing_since"),
            domain__checks__standing__in=MISSING_STATES,
        ).distinct()

    def untold(self) -> Self:
        """Of these, what no owner was told yet."""
        return self.current().filter(told_at=None)


class AddressQuerySet(TenantQuerySet):
    def alive(self) -> Self:
        """Enabled and not expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), enabled=True)

    def switched_off(self) -> Self:
        """Disabled by hand, and not expired."""
        is_over = Q(expires_at__lte=Now())
        return self.filter(~is_over, enabled=False, expired_at=None)

    def overdue(self, now: datetime) -> Self:
        """Enabled, though the time they were bound to is over."""
        return self.filter(enabled=True, expires_at__lte=now)

    def counted(self, tenant: Any) -> Self:
        """What counts against a tenant's plan: all but those of released domains."""
        return self.of_tenant(tenant).exclude(domain__state=DomainState.RELEASED)

    def without_target(self) -> Self:
        """Aliases that deliver nowhere."""
        return self.filter(kind=AddressKind.ALIAS, targets=None)


class TargetQuerySet(TenantQuerySet):
    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """As TenantQuerySet; a target belongs to an address or to a subaddress rule."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if getattr(user, "is_staff", False):
            return self if may_view(user, self.model) else self.none()
        return self.filter(
            Q(address__domain__tenant__memberships__user=user)
            | Q(rule__address__domain__tenant__memberships__user=user)
        ).distinct()

    def with_origin(self) -> Self:
        """Each with the id of the address whose mail it takes, its own or its rule's."""
        return self.annotate(origin_id=Coalesce("address_id", "rule__address_id"))

    def forwarding_to(self, keys: Collection[str], delimiters: Mapping[str, str]) -> Self:
        """Forwards to these addresses or to subaddresses of theirs; `delimiters` by domain.

        A subaddress may also be an address of its own: what a forward arrives at is not looked at.
        """
        return self.filter(_reads_or_details("forward_key", keys, delimiters), kind="forward")


class IdentityQuerySet(TenantQuerySet):
    def of(self, keys: Collection[str], delimiters: Mapping[str, str]) -> Self:
        """Those of these addresses or of subaddresses of theirs; `delimiters` by domain."""
        return self.filter(_reads_or_details("key", keys, delimiters))


def _reads_or_details(column: str, keys: Collection[str], delimiters: Mapping[str, str]) -> Q:
    """That a column is one of these keys, or one with a detail: answered by its indexes."""
    split = [key.rpartition("@") for key in keys]
    detailed = (
        Q(**{f"{column}__startswith": local + each, f"{column}__endswith": f"@{domain}"})
        for local, _, domain in split
        for each in delimiters.get(domain, "")
    )
    return reduce(or_, detailed, Q(**{f"{column}__in": list(keys)}))


class SavedViewQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """A user's own views, and for staff those that were shared."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        own = Q(author=user.pk)
        return self.filter(own | Q(is_shared=True) if getattr(user, "is_staff", False) else own)

    def of_list(self, listed: str) -> Self:
        """Those of one list, as in tenants.alias."""
        return self.filter(listed=listed)
