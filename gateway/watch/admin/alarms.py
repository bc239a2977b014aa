"""Alarms: the list, and a page each with what was found, what was done, and what one can do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
)
from unfold.decorators import action, display

from gateway.admin.event import links_to
from gateway.admin.shown import badge
from gateway.watch import alarms
from gateway.watch.models import Alarm
from tenants.admin.base import ReadOnlyAdmin, actor_of, reason_of

SEVERITIES = {Alarm.Severity.WARNING: "warning", Alarm.Severity.CRITICAL: "danger"}
SNOOZES = {"1": "1 hour", "4": "4 hours", "24": "1 day", "168": "7 days"}
Deed = Callable[[HttpRequest, Iterable[Alarm], datetime], int]


class OpenFilter(DropdownFilter):
    title = "state"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return (
            ("yes", "Open, not snoozed"),
            ("new", "Open, nobody looks after it"),
            ("mine", "Open, assigned to me"),
            ("snoozed", "Open, snoozed"),
            ("no", "Closed"),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        asking: Any = Alarm.objects.asking().order_by().values("pk")
        opened = queryset.filter(closed_at=None)
        match self.value():
            case "yes":
                return queryset.filter(pk__in=asking)
            case "new":
                return queryset.filter(pk__in=asking, acknowledged_at=None, assigned_to=None)
            case "mine":
                return opened.filter(assigned_to=request.user.pk)
            case "snoozed":
                return opened.filter(snoozed_until__gt=timezone.now())
            case "no":
                return queryset.exclude(closed_at=None)
        return queryset


@dataclass(frozen=True, slots=True)
class Done:
    """What a deed came to, in words for one and for many."""

    one: str
    many: str

    def told(self, count: int) -> str:
        return self.one if count == 1 else self.many.format(count=count)


ACKNOWLEDGED = Done("You look after this alarm now.", "You look after {count} alarms now.")
ASSIGNED = Done("The alarm is assigned.", "{count} alarms are assigned.")
SNOOZED = Done("The alarm is put off.", "{count} alarms are put off.")


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = (
        "severity_label",
        "what",
        "kind",
        "tenant_link",
        "opened_at",
        "state",
        "assigned_to",
    )
    list_display_links = ("what",)
    list_select_related = ("tenant", "assigned_to", "acknowledged_by")
    list_filter = (
        OpenFilter,
        ("kind", ChoicesDropdownFilter),
        ("severity", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
    )
    search_fields = ("title__istartswith",)
    search_help_text = "Beginning of what it says"
    actions = ("acknowledge_all", "take_all", "snooze_all")
    ordering = ("-severity", "-opened_at")
    change_form_outer_before_template = "admin/watch/alarm.html"
    tenant_link = links_to("tenant")
    fields = ("kind", "tenant_link", "subject", "closed_at")
    readonly_fields = ("tenant_link",)
    empty_hint = (
        "Nothing has been found in trouble. Alarms open by themselves for domains, next hops, "
        "quotas, attacks, silent processes, full disks and mail that waits."
    )

    # --- the list ---------------------------------------------------------------

    @display(description="severity", ordering="severity")
    def severity_label(self, alarm: Alarm) -> str:
        if not alarm.is_open:
            return badge("closed", "default")
        return badge(alarm.get_severity_display(), SEVERITIES[Alarm.Severity(alarm.severity)])

    @display(description="alarm", ordering="title")
    def what(self, alarm: Alarm) -> str:
        return alarm.title

    @display(description="state")
    def state(self, alarm: Alarm) -> str:
        """What has become of it, in a few words."""
        if alarm.closed_at is not None:
            return f"closed {alarm.closed_at:%Y-%m-%d %H:%M}"
        if alarm.is_snoozed:
            return f"snoozed until {alarm.snoozed_until:%Y-%m-%d %H:%M}"
        if alarm.acknowledged_at is None:
            return "new"
        return f"acknowledged by {alarm.acknowledged_by or 'somebody who is gone'}"

    def has_care_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("watch.change_alarm")

    @action(description="Acknowledge", permissions=["care"])
    def acknowledge_all(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, _acknowledge(request, queryset, timezone.now()), ACKNOWLEDGED)

    @action(description="Assign to me", permissions=["care"])
    def take_all(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, _take(request, queryset, timezone.now()), ASSIGNED)

    @action(description="Snooze for 4 hours", permissions=["care"])
    def snooze_all(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, _snooze(request, queryset, timezone.now(), "4"), SNOOZED)

    # --- one alarm ----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.care))
        own = path("<int:pk>/care/<str:deed>/", view, name="watch_alarm_care")
        return [own, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: Alarm) -> dict[str, Any]:
        colour = SEVERITIES[Alarm.Severity(row.severity)]
        return {
            **super().page_context(request, row),
            "alarm": row,
            "colour": colour if row.is_open else "success",
            "state": self.state(row),
            "steps": row.steps.all(),
            "may_care": self.has_care_permission(request),
            "snoozes": SNOOZES,
            "staff": _staff(),
        }

    def care(self, request: HttpRequest, pk: int, deed: str) -> HttpResponse:
        """One deed on one alarm, and back to its page."""
        if not self.has_care_permission(request):
            raise PermissionDenied
        alarm = self.get_object(request, str(pk))
        if alarm is None or deed not in DEEDS:
            raise Http404
        act, done = DEEDS[deed]
        self._tell(request, act(request, [alarm], timezone.now()), done)
        return redirect(alarm.get_absolute_url())

    def _tell(self, request: HttpRequest, count: int, done: Done) -> None:
        if count:
            messages.success(request, done.told(count))
        else:
            messages.warning(request, "Nothing to do: it is so already, or the alarm is closed.")


def _staff() -> Any:
    return get_user_model()._default_manager.filter(is_staff=True, is_active=True).order_by("pk")


def _acknowledge(request: HttpRequest, rows: Iterable[Alarm], now: datetime) -> int:
    return alarms.acknowledge(rows, actor=actor_of(request), now=now, text=reason_of(request))


def _take(request: HttpRequest, rows: Iterable[Alarm], now: datetime) -> int:
    actor = actor_of(request)
    return alarms.assign(rows, to=actor.user, actor=actor, now=now)


def _assign(request: HttpRequest, rows: Iterable[Alarm], now: datetime) -> int:
    """To the member of staff that was chosen; nobody where that was chosen."""
    chosen = request.POST.get("to", "")
    to = _staff().filter(pk=chosen).first() if chosen.isdecimal() else None
    if chosen and to is None:
        return 0
    actor = actor_of(request)
    return alarms.assign(rows, to=to, actor=actor, now=now, text=reason_of(request))


def _snooze(
    request: HttpRequest, rows: Iterable[Alarm], now: datetime, hours: str | None = None
) -> int:
    hours = hours or request.POST.get("hours", "")
    if hours not in SNOOZES:
        return 0
    until = now + timedelta(hours=int(hours))
    text = reason_of(request)
    return alarms.snooze(rows, until=until, actor=actor_of(request), now=now, text=text)


def _wake(request: HttpRequest, rows: Iterable[Alarm], now: datetime) -> int:
    return alarms.wake(rows, actor=actor_of(request), now=now)


def _note(request: HttpRequest, rows: Iterable[Alarm], now: datetime) -> int:
    note = request.POST.get("note", "").strip()[:2000]
    actor = actor_of(request)
    return sum(alarms.annotate(alarm, note=note, actor=actor, now=now) for alarm in rows)


DEEDS: dict[str, tuple[Deed, Done]] = {
    "acknowledge": (_acknowledge, ACKNOWLEDGED),
    "take": (_take, ASSIGNED),
    "assign": (_assign, ASSIGNED),
    "snooze": (_snooze, SNOOZED),
    "wake": (_wake, Done("The snooze is over.", "The snooze of {count} alarms is over.")),
    "note": (_note, Done("The note is kept.", "The note is kept.")),
}
