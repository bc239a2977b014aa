"""The history of a tenant: every edit of all that is or was its own, by filters, in pages."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tenants import timeline
from tenants.admin.base import PanelAdmin
from tenants.history import Source
from tenants.timeline import MODELS, OUTSIDE, Place, Wanted

SURFACES = ("admin", "portal", "api", "import", "task", "command")


def _day(label: str) -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date", "class": "panel-input"})
    return forms.DateField(label=label, required=False, widget=widget)


class WantedForm(forms.Form):
    """What is looked for in a tenant's history."""

    model = forms.ChoiceField(
        label="What",
        required=False,
        choices=[("", "everything"), *((n, m._meta.verbose_name) for n, m in MODELS.items())],
        widget=UnfoldAdminSelectWidget(),
    )
    actor = forms.CharField(label="Who", required=False, widget=UnfoldAdminTextInputWidget())
    surface = forms.ChoiceField(
        label="Through",
        required=False,
        choices=[("", "any way"), *((s, s) for s in SURFACES), (OUTSIDE, "outside the panel")],
        widget=UnfoldAdminSelectWidget(),
    )
    since = _day("From")
    until = _day("Until")

    @property
    def wanted(self) -> Wanted:
        """The filters; what is typed wrong is not looked for."""
        self.is_valid()
        typed = self.cleaned_data
        since, until = typed.get("since"), typed.get("until")
        return Wanted(
            model=typed.get("model", ""),
            actor=typed.get("actor", "").strip(),
            surface=typed.get("surface", ""),
            since=datetime.combine(since, time(), UTC) if since else None,
            until=_end_of(until) if until else None,
        )


def _end_of(day: date) -> datetime | None:
    """The moment at which the day after begins; None where there is none."""
    return None if day == date.max else datetime.combine(day, time(), UTC) + timedelta(days=1)


class TimelineMixin(PanelAdmin):
    """A history page that tells of all that belongs to the row, a tenant."""

    def history_sources(self, object_id: str) -> list[Source]:
        if not object_id.isdecimal():
            raise Http404
        return list(timeline.sources_of_tenant(int(object_id)).values())

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if not object_id.isdecimal() or not self.has_view_or_change_permission(request, row):
            raise Http404
        form = WantedForm(request.GET)
        page = timeline.read(int(object_id), form.wanted, _place(request), user=request.user)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row or 'a tenant'} and all that is its own",
            "subtitle": None,
            "edits": page.edits,
            "older": _older(request, page.next),
            "newest": request.path if "after" in request.GET else "",
            "form": form,
            "is_gone": row is None,
            "object": row,
            "object_id": object_id,
            "opts": self.opts,
            "revertible": self.revertible(request, page.edits),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/panel/history.html", context)


def _place(request: HttpRequest) -> Place | None:
    text = request.GET.get("after")
    try:
        return Place.parse(text) if text else None
    except ValueError:
        raise Http404 from None


def _older(request: HttpRequest, place: Place | None) -> str:
    """The query of the next page; empty on the last one."""
    if place is None:
        return ""
    query = request.GET.copy()
    query["after"] = str(place)
    return f"?{query.urlencode()}"
