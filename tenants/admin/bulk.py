"""Bulk actions: first a page that says exactly how many rows and what will happen, then the change.

A row that a rule keeps from the change is counted and left as it is.
"""

from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.decorators import action

from tenants import services
from tenants.admin.base import actor_of, reason_of


class SwitchMixin:
    """Enable and disable for models with `enabled`."""

    model: Any
    opts: Any
    admin_site: Any

    @action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return self._switch(request, queryset, enabled=True)

    @action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return self._switch(request, queryset, enabled=False)

    def can_enable(self, queryset: Any) -> Any:
        """The rows that may be enabled: not expired, and with somewhere to deliver to."""
        rows = queryset.filter(expired_at=None).exclude(expires_at__lte=timezone.now())
        return rows.exclude(pk__in=queryset.without_target().values("pk"))

    def _switch(
        self, request: HttpRequest, queryset: QuerySet, *, enabled: bool
    ) -> HttpResponse | None:
        rows = self.model._default_manager.filter(pk__in=queryset.order_by().values("pk"))
        rows = rows.exclude(enabled=enabled)
        fit = self.can_enable(rows) if enabled else rows
        if request.POST.get("confirmed") != "yes":
            return self._confirm(request, queryset, rows, fit, enabled=enabled)
        actor, reason = actor_of(request), reason_of(request)
        count = services.set_enabled(fit, enabled=enabled, actor=actor, reason=reason)
        names = self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural
        messages.success(request, f"{count} {names} {'enabled' if enabled else 'disabled'}.")
        return None

    def _confirm(
        self,
        request: HttpRequest,
        queryset: QuerySet,
        rows: QuerySet,
        fit: QuerySet,
        *,
        enabled: bool,
    ) -> HttpResponse:
        selected, changing, fitting = queryset.count(), rows.count(), fit.count()
        verb = "enable" if enabled else "disable"
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "verb": verb,
            "count": fitting,
            "unchanged": selected - changing,
            "left_out": changing - fitting,
            "sample": fit[:10],
            "is_more": fitting > 10,
            "action": verb,
            "select_across": request.POST.get("select_across", "0"),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        }
        return TemplateResponse(request, "admin/panel/bulk_confirmation.html", context)
