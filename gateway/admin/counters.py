"""Counters behind rates and quotas, and how many recipients were refused: read-only."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from gateway.admin import counted
from gateway.admin.filters import (
    AnswerFilter,
    MinuteFilter,
    ReasonFilter,
    RefusedTenantFilter,
    ServedFilter,
)
from gateway.admin.shown import reason_words
from gateway.models import Counter, RefusalCount
from gateway.routing.window import RollingHour
from tenants.admin.base import ReadOnlyAdmin


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    list_display = ("what", "stands_at", "full_since", "key")
    search_fields = ("key__startswith",)
    search_help_text = "Beginning of a counter's key, for example rate:tenant:1"
    fields = ("what", "stands_at", "full_since", "key")
    empty_hint = "Counters appear with the first message to an address or tenant that has a limit."

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        _name(listed.result_list, request)
        return listed

    def get_object(self, request: HttpRequest, *args: Any) -> Any:
        counter = super().get_object(request, *args)
        _name([counter] if counter else [], request)
        return counter

    @display(description="counts")
    def what(self, counter: Any) -> str:
        return str(counter.told)

    @display(description="stands at")
    def stands_at(self, counter: Counter) -> str:
        if counted.is_stored(counter.key):
            return counted.total(counter.key, counter.total)
        window = RollingHour.of(counter.minute, counter.counts)
        return f"{window.at(int(timezone.now().timestamp()) // 60).total:,} in the last hour"


def _name(rows: Iterable[Any], request: HttpRequest) -> None:
    """Say of each counter what it counts."""
    rows = list(rows)
    names = counted.names([row.key for row in rows], request.user)
    for row in rows:
        row.told = names[row.key]


@admin.register(RefusalCount)
class RefusalCountAdmin(ReadOnlyAdmin):
    list_display = ("minute", "of_domain", "reason_told", "count")
    list_filter = (ServedFilter, RefusedTenantFilter, AnswerFilter, ReasonFilter, MinuteFilter)
    search_fields = ("domain_name__startswith",)
    search_help_text = "Beginning of a domain"
    fields = ("minute", "of_domain", "reason_told", "count")
    empty_hint = "Refused recipients are counted here by domain, reason and minute."

    @display(description="domain", ordering="domain_name")
    def of_domain(self, row: RefusalCount) -> str:
        return row.domain_name or "domains not served here"

    @display(description="reason", ordering="reason")
    def reason_told(self, row: RefusalCount) -> str:
        return reason_words(row.reason)
