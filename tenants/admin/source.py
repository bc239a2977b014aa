"""Moving in: a source is read, planned, taken over by a job, and compared with what it was."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from tenants import jobs
from tenants.admin.base import PanelAdmin, actor_of, reason_of
from tenants.admin.source_form import (
    MAP_HELP,
    UPLOAD_OCTETS,
    LongSource,
    RecipientsForm,
    SourceForm,
)
from tenants.jobs import reading, sending, shadowing, sources
from tenants.models import Domain, Job, JobItem, Source
from tenants.moving_in.keeping import inventory_of
from tenants.moving_in.reading import UnreadableSource, as_text
from tenants.moving_in.recipients import controls, counted, named_by, parse_lines
from tenants.moving_in.shadow import MEANING, Kind

SHOWN_LEFT = 100
PLANNED_AT_ONCE = 5_000  # rows; a worker plans more of them
PAGE_ROWS = 100
REFUSED = JobItem.Outcome.REFUSED
NO_ADDRESSES = (
    "No address was found in the file. It has to hold one address a line, or be a log of Postfix; "
    "without a file all addresses of the source are compared."
)
COLOURS = {
    Kind.REFUSED: "danger",
    Kind.ACCEPTED: "warning",
    Kind.ELSEWHERE: "danger",
    Kind.BOUNCES: "warning",
    Kind.UNVERIFIED: "info",
}


@admin.register(Source)
class SourceAdmin(PanelAdmin):
    form = SourceForm
    list_display = ("shown", "tenant", "counted", "read_at")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("product", ChoicesDropdownFilter))
    autocomplete_fields = ("tenant", "next_hop")
    change_form_outer_before_template = "admin/panel/source.html"
    empty_hint = (
        "A source is what PostfixAdmin, mailcow, Modoboa or Postfix's maps hold. Add one to see "
        "what would be taken over, take it over, and compare both before the switch."
    )
    add_fieldsets = (
        (None, {"fields": ("tenant", "next_hop", "product", "domains")}),
        ("PostfixAdmin, mailcow, Modoboa", {"fields": ("dump", "database")}),
        ("Postfix maps", {"fields": [name.value for name in MAP_HELP]}),
    )
    fieldsets = ((None, {"fields": ("tenant", "product", "name", "next_hop", "domains")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("inventory")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was read stays as it was read: read it again instead."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """What is left to a worker becomes a source when that has read it."""
        if form.long is None:
            super().save_model(request, obj, form, change)
        else:
            obj.read_by = _read_later(request, obj, form.long)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        if (job := getattr(obj, "read_by", None)) is not None:
            return redirect(job.get_absolute_url())
        return super().response_add(request, obj, post_url_continue)

    def response_post_save_add(self, request: HttpRequest, obj: Source) -> HttpResponse:
        return redirect(obj.get_absolute_url())

    @display(description="source", ordering="product")
    def shown(self, source: Source) -> str:
        return str(source)

    @display(description="holds")
    def counted(self, source: Source) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in source.counts.items())

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/plan/", wrap(self.plan), name="tenants_source_plan"),
            path("<int:pk>/send-as/", wrap(self.send_as), name="tenants_source_send_as"),
            path("<int:pk>/shadow/", wrap(self.shadow), name="tenants_source_shadow"),
            path("<int:pk>/shadow/<int:job>/", wrap(self.report), name="tenants_source_report"),
        ]
        return own + super().get_urls()

    def page_context(self, request: HttpRequest, row: Source) -> dict[str, Any]:
        own = Job.objects.filter(parameters__moving_in=row.pk)
        inventory = inventory_of(row)
        return {
            "counts": row.counts,
            "left": inventory.left[:SHOWN_LEFT],
            "left_count": len(inventory.left),
            "plans": own.exclude(kind__in=(*shadowing.KINDS, reading.SOURCE))[:5],
            "reports": [
                (job, report_url(row, job)) for job in own.filter(kind__in=shadowing.KINDS)[:5]
            ],
            "unverified": unverified(row, list(inventory.domains)),
            "recipients_form": RecipientsForm(),
            "has_live": bool(settings.SHADOW_POSTFIX),
            "may_compare": request.user.has_perm("tenants.add_source"),
            "may_plan": request.user.has_perm("tenants.add_alias"),
            "may_grant": bool(inventory.send_as) and request.user.has_perm(sending.PERMISSION),
        }

    def plan(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Foretell what taking everything over would do; the job's page shows each row."""
        source = self._source(request, pk, permission="tenants.add_alias")
        if request.method != "POST":
            return redirect(source.get_absolute_url())
        reason = reason_of(request) or "moving in"
        if sum(source.counts.values()) > PLANNED_AT_ONCE:
            later = reading.draft_source(source, actor=actor_of(request), reason=reason)
            return redirect(jobs.apply(later).get_absolute_url())
        job = shadowing.draft_plan(source, actor=actor_of(request), reason=reason)
        return redirect(jobs.check(job).get_absolute_url())

    def send_as(self, request: HttpRequest, pk: int) -> HttpResponse:
        """As plan, for the permissions to send as an address."""
        source = self._source(request, pk, permission=sending.PERMISSION)
        if request.method != "POST":
            return redirect(source.get_absolute_url())
        job = sending.draft_send_as(source, actor=actor_of(request), reason=reason_of(request))
        return redirect(jobs.check(job).get_absolute_url())

    def shadow(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Begin a comparison; its report follows it."""
        source = self._source(request, pk, permission="tenants.add_source")
        if request.method != "POST":
            return redirect(source.get_absolute_url())
        form = RecipientsForm(request.POST, request.FILES)
        try:
            recipients = _recipients(source, form)
        except UnreadableSource as error:
            messages.error(request, str(error))
            return redirect(source.get_absolute_url())
        live = form.cleaned_data["live"]
        job = shadowing.draft_shadow(source, recipients, actor=actor_of(request), live=live)
        return redirect(report_url(source, jobs.apply(job)))

    def report(self, request: HttpRequest, pk: int, job: int) -> HttpResponse:
        """Every difference that a comparison has found so far."""
        source = self._source(request, pk, permission=shadowing.PERMISSION)
        found = Job.objects.visible_to(request.user).filter(pk=job, kind__in=shadowing.KINDS)
        compared = found.filter(parameters__moving_in=pk).first()
        if compared is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": "Shadow mode",
            "subtitle": None,
            "opts": self.opts,
            "source": source,
            "job": compared,
            **_report(compared, request.GET),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/panel/shadow.html", context)

    def _source(self, request: HttpRequest, pk: int, *, permission: str) -> Source:
        if not (self.has_view_permission(request) and request.user.has_perm(permission)):
            raise PermissionDenied
        source: Source | None = self.get_object(request, str(pk))
        if source is None:
            raise Http404
        return source


def _read_later(request: HttpRequest, source: Source, long: LongSource) -> Job:
    about: dict[str, Any] = {"name": long.name, "actor": actor_of(request)}
    if long.database:
        return jobs.apply(sources.draft_database(source, long.database, **about))
    return jobs.apply(sources.draft_reading(source, long.files, most_octets=UPLOAD_OCTETS, **about))


def report_url(source: Source, job: Job) -> str:
    return reverse("admin:tenants_source_report", args=[source.pk, job.pk])


def unverified(source: Source, names: list[str]) -> QuerySet:
    """The source's domains that are claimed here and wait for DNS."""
    claims = Domain.objects.filter(tenant=source.tenant_id, name__in=names)
    return claims.filter(state=Domain.State.PENDING)


def _recipients(source: Source, form: RecipientsForm) -> dict[str, int]:
    """Whom to ask about, with how often each was written to. Raises UnreadableSource."""
    if not form.is_valid():
        raise UnreadableSource(
            " ".join(str(text) for field in form.errors.values() for text in field)
        )
    if file := form.cleaned_data["recipients"]:
        return _listed(file)
    inventory = inventory_of(source)
    return dict(counted([*sorted(named_by(inventory)), *sorted(controls(inventory))]))


def _listed(file: Any) -> dict[str, int]:
    with as_text(file.file, most_octets=UPLOAD_OCTETS) as lines:
        found = dict(counted(parse_lines(lines)))
    if not found:
        raise UnreadableSource(NO_ADDRESSES)
    return found


def _report(job: Job, asked: Any) -> dict[str, Any]:
    """Counts by kind, the differences of a kind (or all), and unverified domains by number."""
    differing = job.items.filter(outcome=REFUSED)
    counts = dict(differing.order_by().values_list("payload__kind").annotate(number=Count("pk")))
    listed = differing.exclude(payload__kind=Kind.UNVERIFIED)
    chosen = asked.get("kind", "")
    if chosen in counts:
        listed = differing.filter(payload__kind=chosen)
    page = Paginator(listed, PAGE_ROWS).get_page(asked.get("page"))
    return {
        "page": page,
        "rows": [(item, COLOURS.get(item.payload["kind"])) for item in page],
        "chosen": chosen if chosen in counts else "",
        "kinds": [
            (kind, MEANING[kind], counts[kind], COLOURS[kind]) for kind in Kind if kind in counts
        ],
        "differing": sum(counts.values()),
    }
