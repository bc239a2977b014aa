"""Counters behind rates and quotas, and how many recipients were refused: read-only."""

from django.contrib import admin
from django.utils import timezone
from unfold.decorators import display

from gateway.admin.filters import (
    AnswerFilter,
    MinuteFilter,
    ReasonFilter,
    RefusedTenantFilter,
    ServedFilter,
)
from gateway.models import Counter, RefusalCount
from gateway.routing.window import RollingHour
from tenants.admin.base import ReadOnlyAdmin


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    list_display = ("key", "in_the_hour", "total", "full_since")
    search_fields = ("key__startswith",)
    search_help_text = "Beginning of a counter's name, for example rate:tenant:1"
    fields = ("key", "in_the_hour", "total", "full_since")
    empty_hint = "Counters appear with the first message to an address or tenant that has a limit."

    @display(description="in the last hour")
    def in_the_hour(self, counter: Counter) -> int:
        minute = int(timezone.now().timestamp()) // 60
        return RollingHour.of(counter.minute, counter.counts).at(minute).total


@admin.register(RefusalCount)
class RefusalCountAdmin(ReadOnlyAdmin):
    list_display = ("minute", "of_domain", "reason", "count")
    list_filter = (ServedFilter, RefusedTenantFilter, AnswerFilter, ReasonFilter, MinuteFilter)
    search_fields = ("domain_name__startswith",)
    search_help_text = "Beginning of a domain"
    fields = ("minute", "of_domain", "reason", "count")
    empty_hint = "Refused recipients are counted here by domain, reason and minute."

    @display(description="domain", ordering="domain_name")
    def of_domain(self, row: RefusalCount) -> str:
        return row.domain_name or "domains not served here"
