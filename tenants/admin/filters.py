"""Filters of the lists: what an operator asks for every morning."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from tenants.models import Domain, Target
from tenants.models.target import kind_choices


class ExpiryFilter(DropdownFilter):
    title = "expiry"
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (("week", "Within 7 days"), ("past", "Expired"), ("never", "Never"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now = timezone.now()
        if self.value() == "week":
            return queryset.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=7))
        if self.value() == "past":
            return queryset.filter(expires_at__lte=now)
        return queryset.filter(expires_at=None) if self.value() == "never" else queryset


class TargetKindFilter(DropdownFilter):
    title = "target"
    parameter_name = "target"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (*kind_choices(), ("none", "No target"))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        targets = Target.objects.filter(address=OuterRef("pk"))
        if self.value() == "none":
            return queryset.filter(~Exists(targets))
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
    path = "domain__environment"


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
