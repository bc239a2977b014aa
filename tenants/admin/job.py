"""Jobs: how far each is, what it would do or did to each row, and how to start, stop and undo it.

Whoever may see jobs, and the rows that one is about, may look; to act takes the permission that
the job was drafted with. The page works by being loaded again; a script only does that sooner.
"""

import csv
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import Truncator
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from tenants import jobs, permissions
from tenants.admin.base import ReadOnlyAdmin, actor_of, reason_of
from tenants.admin.deeds import DEEDS, Deed, DeedForm
from tenants.admin.exports import as_file
from tenants.admin.imports import differences_of
from tenants.imports.csv_rows import guard
from tenants.imports.exporting import Printer, hand_out
from tenants.imports.reading import Format
from tenants.jobs import importing, reading
from tenants.jobs.ending import FORWARDED
from tenants.jobs.kind import find
from tenants.models import Address, Domain, Job, JobItem, Mailbox
from tenants.roles import EXPORT_ROWS

SHOWN = 50
STATES = {
    Job.State.DRAFT: "default",
    Job.State.QUEUED: "info",
    Job.State.RUNNING: "info",
    Job.State.READY: "warning",
    Job.State.DONE: "success",
    Job.State.FAILED: "danger",
    Job.State.CANCELLED: "default",
}
COLUMNS = ("row", "foretold", "outcome", "note")
JOBS = "admin:tenants_job_changelist"
OVER = "Nothing was done: the job is {state} meanwhile."
ANEW = "Nothing was done: the job was checked anew meanwhile. See below what it comes to now."
NOT_PLANNED = "Nothing was checked: say first what the job is to do."


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("title", "state_label", "progress", "counts", "by", "created_at")
    list_select_related = ("user",)
    list_filter = (("state", ChoicesDropdownFilter), ("user", AutocompleteSelectFilter))
    autocomplete_fields = ("user",)
    search_fields = ("title__istartswith",)
    empty_hint = (
        "Work on many rows is listed here, with who asked for it and what came of each row. Choose "
        "rows of a list and an action to begin."
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        acts: dict[str, Callable[..., HttpResponse]] = {
            "plan": self.plan,
            "start": self.start,
            "cancel": self.cancel,
            "undo": self.undo,
            "go-on": self.go_on,
        }
        own = [
            path(f"<int:pk>/{name}/", wrap(self._acting(act)), name=f"tenants_job_{name}")
            for name, act in acts.items()
        ]
        own += [
            path("<int:pk>/progress/", wrap(self.show_progress), name="tenants_job_progress"),
            path("<int:pk>/rows.csv", wrap(self.export), name="tenants_job_rows"),
        ]
        return own + super().get_urls()

    # --- the list

    @display(description="state", ordering="state", label=STATES)
    def state_label(self, job: Job) -> tuple[str, str]:
        return job.state, _state_of(job)

    @display(description="rows")
    def progress(self, job: Job) -> str:
        return f"{job.handled:,} of {job.total:,}" if job.is_open else f"{job.total:,}"

    @display(description="changed / refused")
    def counts(self, job: Job) -> str:
        return f"{job.changed:,} / {job.refused:,}" if job.phase == Job.Phase.APPLY else "—"

    @display(description="asked for by", ordering="user")
    def by(self, job: Job) -> str:
        return job.asked_by

    # --- the page of one

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None or request.method != "GET":
            raise PermissionDenied
        job = self.get_object(request, object_id)
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        if job is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if (made := reading.made_of(job)) is not None:
            return redirect(made.get_absolute_url())
        return self.page(request, job)

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Jobs, and the kind of rows that this one is about."""
        may = super().has_view_permission(request, obj)
        if obj is None or not obj.permission:
            return bool(may)
        app, _, codename = obj.permission.partition(".")
        return may and request.user.has_perm(f"{app}.view_{codename.partition('_')[2]}")

    def page(self, request: HttpRequest, job: Job, form: DeedForm | None = None) -> HttpResponse:
        """What there is to see and to do, by the job's state."""
        deed = DEEDS.get(job.kind)
        is_applied = job.phase == Job.Phase.APPLY
        refused = job.items.filter(_refused(job))
        context = {
            **self.admin_site.each_context(request),
            "title": job.title,
            "opts": self.opts,
            "job": job,
            "deed": deed,
            "noun": _noun(job),
            "state": _state_of(job),
            "colour": STATES[Job.State(job.state)],
            "form": form or _form(deed, job),
            "counts": _counts(job),
            "refused": refused[:SHOWN],
            **_forwarded(job),
            "sample": _sample(job),
            "is_applied": is_applied,
            "may_act": self._may_act(request, job),
            "may_export": request.user.has_perm(EXPORT_ROWS),
            "may_undo": is_applied and job.changed and not job.is_open and _has_inverse(job),
            "undone_by": job.undone_by.exclude(state__in=(Job.State.DRAFT, Job.State.READY)),
            "back": None if _list_of(job) == JOBS else _list_of(job),
            "checked": _checked(job),
            "start_label": f"{Truncator(job.title).chars(60)} ({job.changed:,})",
        }
        if job.kind == importing.IMPORT:
            context |= differences_of(job, request.GET)
        return TemplateResponse(request, "admin/panel/job.html", context)

    def show_progress(self, request: HttpRequest, pk: int) -> JsonResponse:
        """The numbers of the page, for its script."""
        job = self._visible(request, pk)
        names = ("state", "handled", "total", "changed", "unchanged", "refused", "percent")
        return JsonResponse({name: getattr(job, name) for name in names})

    def export(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Each row with what was foretold, what came of it and why; only the refused if asked."""
        job = self._visible(request, pk)
        if not request.user.has_perm(EXPORT_ROWS):
            raise PermissionDenied
        is_whole = "refused" not in request.GET
        items = job.items.all() if is_whole else job.items.filter(_refused(job))
        what = f"{'rows' if is_whole else 'refused rows'} of job {job.pk}, {job.title}"
        pieces = hand_out(items.iterator(), LINES, Format.CSV, what=what, actor=actor_of(request))
        return as_file(pieces, Format.CSV, f"job-{job.pk}{'' if is_whole else '-refused'}")

    # --- what one can do

    def plan(self, request: HttpRequest, job: Job) -> HttpResponse:
        """Say what the job is to do to its rows, and see what that would come to."""
        deed = DEEDS.get(job.kind)
        form = _form(deed, job, request.POST)
        if deed is None or form is None:
            messages.error(request, NOT_PLANNED)
        elif not form.is_valid():
            return self.page(request, job, form)
        else:
            title = f"{deed.title} {form.told}: {_noun(job)}"[:200]
            jobs.check(jobs.describe(job, title=title, parameters=form.parameters))
        return redirect(job.get_absolute_url())

    def start(self, request: HttpRequest, job: Job) -> HttpResponse:
        """Do what was foretold, and what the page that asks for it showed."""
        if job.state != Job.State.READY:
            messages.error(request, OVER.format(state=_state_of(job)))
        elif request.POST.get("checked") != _checked(job):
            messages.error(request, ANEW)
        else:
            reason = reason_of(request) or job.reason
            jobs.apply(jobs.take_over(job, actor=actor_of(request), reason=reason))
        return redirect(job.get_absolute_url())

    def cancel(self, request: HttpRequest, job: Job) -> HttpResponse:
        """Stop it; what was done stands."""
        if not jobs.cancel(job):
            messages.error(request, OVER.format(state=_state_of(job)))
        elif not job.handled or job.phase == Job.Phase.CHECK:
            messages.success(request, "Nothing was changed.")
            return redirect(_list_of(job))
        return redirect(job.get_absolute_url())

    def undo(self, request: HttpRequest, job: Job) -> HttpResponse:
        """Draft the inverse job and see what it would come to."""
        if job.is_open or not job.changed or not _has_inverse(job):
            messages.error(request, OVER.format(state=_state_of(job)))
            return redirect(job.get_absolute_url())
        inverse = jobs.check(jobs.undo(job, actor=actor_of(request)))
        return redirect(inverse.get_absolute_url())

    def go_on(self, request: HttpRequest, job: Job) -> HttpResponse:
        """Try a job that failed again, from where it broke off, in one's own name."""
        jobs.go_on(job, actor=actor_of(request))
        return redirect(job.get_absolute_url())

    def _acting(
        self, act: Callable[[HttpRequest, Job], HttpResponse]
    ) -> Callable[..., HttpResponse]:
        """A view that acts on a job, for who may, and only when it is sent."""

        def view(request: HttpRequest, pk: int) -> HttpResponse:
            if not request.user.has_perm("tenants.change_job"):
                raise PermissionDenied
            job = self._visible(request, pk)
            if not self._may_act(request, job):
                raise PermissionDenied
            return act(request, job) if request.method == "POST" else redirect(_page_of(job))

        return view

    def _may_act(self, request: HttpRequest, job: Job) -> bool:
        needed = ("tenants.change_job", *filter(None, [job.permission]), *_also_needed(job))
        return bool(request.user.has_perms(needed))

    def _visible(self, request: HttpRequest, pk: int) -> Job:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job: Job | None = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        return job


def _also_needed(job: Job) -> list[str]:
    """What it takes to do, or take back, what the job does."""
    deed = DEEDS.get(job.undoes.kind if job.undoes else job.kind)
    return [permissions.CHANGE_TARGETS] if deed is not None and deed.changes_targets else []


def _has_inverse(job: Job) -> bool:
    """Whether its kind can be taken back at all."""
    kind = find(job.kind)
    return kind is not None and bool(kind.undone_by)


def _page_of(job: Job) -> str:
    return job.get_absolute_url()


def _checked(job: Job) -> str:
    """Which preview it is: when that was made."""
    return job.finished_at.isoformat() if job.finished_at else ""


def _state_of(job: Job) -> str:
    """The state in words: what is being checked is not being done."""
    if job.state == Job.State.RUNNING and job.phase == Job.Phase.CHECK:
        return "checking"
    return job.get_state_display()


def _refused(job: Job) -> Q:
    field = "outcome" if job.phase == Job.Phase.APPLY else "forecast"
    return Q(**{field: JobItem.Outcome.REFUSED})


def _counts(job: Job) -> list[tuple[str, str, int]]:
    """The numbers of the phase, each with its name for the script and its words."""
    is_applied = job.phase == Job.Phase.APPLY
    return [
        ("changed", "changed" if is_applied else "would change", job.changed),
        ("unchanged", "are so already", job.unchanged),
        ("refused", "refused" if is_applied else "would be refused", job.refused),
    ]


def _sample(job: Job) -> "QuerySet[JobItem]":
    """A few of the rows, those that would change where that is known."""
    if job.state == Job.State.DRAFT:
        return job.items.all()[:10]
    field = "outcome" if job.phase == Job.Phase.APPLY else "forecast"
    return job.items.filter(**{field: JobItem.Outcome.CHANGED})[:10]


def _forwarded(job: Job) -> dict[str, Any]:
    """The rows that end, or ended, while others forward to them."""
    field = "outcome" if job.phase == Job.Phase.APPLY else "forecast"
    rows = job.items.filter(payload__has_key=FORWARDED, **{field: JobItem.Outcome.CHANGED})
    found = list(rows[: SHOWN + 1])
    return {"forwarded": found[:SHOWN], "forwarded_more": len(found) > SHOWN}


def _model_of(job: Job) -> Any:
    """The model of the rows; None where the items are no rows."""
    first = job.items.defer("payload").first()  # which may be a whole file
    return apps.get_model(first.model) if first is not None and first.model else None


def _noun(job: Job) -> str:
    model, deed = _model_of(job), DEEDS.get(job.kind)
    if model:
        return str(model._meta.verbose_name_plural)
    return deed.noun if deed else "rows"


def _list_of(job: Job) -> str:
    """The name of the list that the rows stand in; of all jobs where they stand in none."""
    model = _model_of(job)
    return f"admin:{model._meta.label_lower.replace('.', '_')}_changelist" if model else JOBS


def _form(deed: Deed | None, job: Job, data: Any = None) -> DeedForm | None:
    """What the job has to be told before it can be checked; None where that is nothing."""
    if deed is None or deed.form is None or job.state not in (Job.State.DRAFT, Job.State.READY):
        return None
    return deed.form(data, tenants=_tenants(job))


def _tenants(job: Job) -> list[int]:
    """The tenants of the rows."""
    rows = job.items.values("row_pk")
    model = _model_of(job)
    concrete = model._meta.concrete_model if model else None
    ways = {Address: "domain__tenant", Domain: "tenant", Mailbox: "tenant"}
    if concrete not in ways:
        return []
    found = concrete._base_manager.filter(pk__in=rows).order_by()
    return list(found.values_list(ways[concrete], flat=True).distinct())


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, value: str) -> str:
        return value


def _line(item: JobItem) -> str:
    row = (item.label, item.forecast, item.outcome, item.note)
    return str(_writer.writerow(map(guard, row)))


_writer = csv.writer(_Echo())
LINES = Printer(begin=str(_writer.writerow(COLUMNS)), row=_line)
