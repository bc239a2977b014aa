"""Filters of the lists: what an operator asks for every morning."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from gateway.models import Concern
from gateway.routing.facts import AddressKind
from tenants.counting import DOMAINS_NAMED
from tenants.models import Domain, RoleAddress, Target
from tenants.models.target import kind_choices

UNUSED = timedelta(days=90)
WEEK = timedelta(days=7)


class ExpiryFilter(DropdownFilter):
    title = "expiry"
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("week", "Within 7 days"), ("past", "Expired"), ("never", "Never"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "week":
            return queryset.filter(expires_at__gt=Now(), expires_at__lte=Now() + WEEK)
        if self.value() == "past":
            return queryset.filter(expires_at__lte=Now())
        return queryset.filter(expires_at=None) if self.value() == "never" else queryset


class StateFilter(DropdownFilter):
    """An address as its list calls it."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("enabled", "Enabled"), ("disabled", "Disabled"), ("expired", "Expired"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "enabled":
            return queryset.alive()  # type: ignore[attr-defined]
        if self.value() == "disabled":
            return queryset.switched_off()  # type: ignore[attr-defined]
        if self.value() == "expired":
            return queryset.filter(expires_at__lte=Now())
        return queryset


class UseFilter(DropdownFilter):
    """By the stamps that a job reads off the routing records."""

    title = "last mail"
    parameter_name = "used"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("idle", "Unused for 90 days"), ("never", "Never"), ("week", "Within 7 days"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now = timezone.now()
        if self.value() == "idle":
            return queryset.filter(use__idle_since__lt=now - UNUSED)
        if self.value() == "week":
            return queryset.filter(use__used_at__gte=now - WEEK, use__idle_since__gte=now - WEEK)
        if self.value() == "never":
            return queryset.filter(use__isnull=False, use__used_at=None)
        return queryset


class ConcernFilter(DropdownFilter):
    """By what the last look at all addresses found."""

    title = "needs a look"
    parameter_name = "concern"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        holder = [("holder", "Holder left")] if model_admin.model is RoleAddress else []
        return (("broken", "Target broken"), ("left", "Owner left"), *holder)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(concerns__kind=self.value()) if self.value() else queryset


class TargetKindFilter(DropdownFilter):
    title = "target"
    parameter_name = "target"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (*kind_choices(), ("none", "No target"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        targets = Target.objects.filter(address=OuterRef("pk"))
        if self.value() == "none":
            # An alias in use without a target is found by the look at all addresses.
            noted = Concern.objects.filter(kind=Concern.Kind.BROKEN).values("address")
            lost = Q(enabled=False) | Q(kind=AddressKind.ROLE) | Q(pk__in=noted)
            return queryset.filter(lost).filter(~Exists(targets))
        if self.value():
            return queryset.filter(Exists(targets.filter(kind=self.value())))
        return queryset


class EqualsFilter(DropdownFilter):
    """Rows that hold the chosen value; `path` leads to it from the listed model."""

    path = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(**{self.path: self.value()}) if self.value() else queryset


class StatesFilter(DropdownFilter):
    """One choice, that stands for several states."""

    choice = ("", "")
    states: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (self.choice,)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(state__in=self.states) if self.value() else queryset


class EnvironmentFilter(EqualsFilter):
    title = "environment"
    parameter_name = "environment"
    path = "environment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        names = Domain.objects.order_by("environment").values_list("environment", flat=True)
        return [(name, name) for name in names.distinct()[:50]]


class DomainEnvironmentFilter(EnvironmentFilter):
    """By the very domains of the environment where they can be named, so that the database knows
    how few addresses they hold; of a small environment it would else read them all.
    """

    path = "domain__environment"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        domains = Domain.objects.filter(environment=self.value()).order_by()
        found = list(domains.values_list("pk", flat=True)[: DOMAINS_NAMED + 1])
        if len(found) > DOMAINS_NAMED:
            return super().queryset(request, queryset)
        return queryset.filter(domain__in=found)


class TroubleFilter(DropdownFilter):
    """Domains that do not simply work."""

    title = "trouble"
    parameter_name = "trouble"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("now", "In trouble"), ("inactive", "Pending or degraded"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> Any:
        rows: Any = queryset
        if self.value() == "now":
            return rows.in_trouble()
        return rows.filter(state__in=INACTIVE) if self.value() == "inactive" else rows


INACTIVE = (Domain.State.PENDING, Domain.State.DEGRADED)
