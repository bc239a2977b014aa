"""The page where a file comes in: read at once, or by a worker where it is long, then checked as a
job whose page shows each row.

Nothing is changed from here. The job's page asks for that, with the number of good rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tenants import jobs
from tenants.admin.base import actor_of
from tenants.imports.errors import Unreadable
from tenants.imports.reading import LABELS, Format, Hints, Limits, guess_format, read
from tenants.imports.rows import Kind
from tenants.jobs import importing, reading
from tenants.models import Job, JobItem, Tenant
from tenants.octets import print_octets

ROWS_SHOWN = 100
TENANTS_OFFERED = 100
NAMES = ("alias", "roleaddress", "mailbox", "domain")
PERMISSIONS = tuple(f"tenants.{verb}_{name}" for verb in ("add", "change") for name in NAMES)
FORMATS = [("", "By its name and beginning"), *((each.value, LABELS[each]) for each in Format)]
KINDS = [("", "As the columns say"), *((each.value, each.value) for each in Kind)]
LIMITS = Limits()
READ_AT_ONCE = 500_000  # octets, some 10,000 rows; a worker reads longer files
VERDICTS = {
    importing.NEW: ("new", "success"),
    importing.DIFFERENT: ("changed", "info"),
    JobItem.Outcome.UNCHANGED: ("unchanged", "default"),
    JobItem.Outcome.REFUSED: ("refused", "danger"),
}


@dataclass(frozen=True, slots=True)
class LongFile:
    """What a worker is to read, since a request would be waited for too long."""

    octets: bytes
    written: Format
    hints: Hints


class ImportForm(forms.Form):
    """What is to be imported, and what its format leaves unsaid."""

    file = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget(),
        help_text=f"UTF-8; at most {print_octets(LIMITS.octets)} and {LIMITS.rows:,} rows. "
        "More go in parts, or by manage.py import_addresses.",
    )
    text = forms.CharField(
        label="Or paste it",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="At most 2 MB.",
    )
    written = forms.ChoiceField(
        label="Format",
        required=False,
        choices=FORMATS,
        widget=UnfoldAdminSelectWidget(),
        help_text="Maps of patterns (regexp, pcre) cannot be imported.",
    )
    tenant = forms.CharField(
        label="Tenant",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "tenants-offered"}),
        help_text="The external id of whose all rows are. Empty: each row says it in a column.",
    )
    kind = forms.ChoiceField(
        label="What the rows are",
        required=False,
        choices=KINDS,
        widget=UnfoldAdminSelectWidget(),
        help_text="For CSV and JSON without a column “type”.",
    )
    next_hop = forms.CharField(
        label="Next hop of the mailboxes",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Its name; for Postfix recipients.",
    )
    domain = forms.CharField(
        label="Domain of names without one",
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget(),
        help_text="For an aliases file.",
    )

    def __init__(self, data: Any = None, files: Any = None, *, user: Any, **more: Any) -> None:
        super().__init__(data, files, **more)
        self.tenants = Tenant.objects.visible_to(user)
        self.rows: list[Any] = []
        self.long: LongFile | None = None
        self.source = ""

    def clean_tenant(self) -> Tenant | None:
        name = self.cleaned_data["tenant"].strip()
        tenant: Tenant | None = self.tenants.filter(external_id=name).first()
        if name and tenant is None:
            raise ValidationError(
                "There is no tenant with this external id. It stands on the tenant’s page."
            )
        return tenant

    def clean(self) -> dict[str, Any]:
        """Read a short file, since what is wrong with all of it is told here."""
        values = super().clean() or {}
        if self.errors:
            return values
        octets = self._octets(values)
        try:
            written = self._format(values, octets)
            hints = Hints(
                Kind(values["kind"]) if values["kind"] else None,
                values["next_hop"].strip(),
                values["domain"].strip(),
            )
            if READ_AT_ONCE < len(octets) <= LIMITS.octets:
                self.long = LongFile(octets, written, hints)
                return values
            self.rows = list(read(octets, written, hints=hints, limits=LIMITS))
        except Unreadable as error:
            raise ValidationError({"file" if values.get("file") else "text": str(error)}) from None
        if not self.rows:
            raise ValidationError("There is no row in it. Add one below the names of the columns.")
        return values

    def _octets(self, values: dict[str, Any]) -> bytes:
        file: UploadedFile | None = values.get("file")
        if file is not None and values["text"].strip():
            raise ValidationError("Choose a file or paste its text, not both.")
        if file is None and not values["text"].strip():
            raise ValidationError({"file": "Choose a file, or paste its text below."})
        self.source = file.name or "a file" if file is not None else "pasted text"
        if file is not None:
            return file.read(LIMITS.octets + 1)
        return str(values["text"]).encode()

    def _format(self, values: dict[str, Any], octets: bytes) -> Format:
        if values["written"]:
            return Format(values["written"])
        name = values["file"].name if values.get("file") else ""
        written = guess_format(name or "", octets)
        if written is None:
            raise ValidationError({"written": "Say how this is written: it cannot be told."})
        return written


def import_view(request: HttpRequest) -> HttpResponse:
    """Wrapped by the admin site, which asks for staff with a second factor."""
    if not any(request.user.has_perm(name) for name in PERMISSIONS):
        raise PermissionDenied
    begun = {"tenant": request.GET.get("tenant", "")}
    sent = (request.POST, request.FILES) if request.method == "POST" else ()
    form = ImportForm(*sent, user=request.user, initial=begun)
    if form.is_bound and form.is_valid():
        return redirect(_checked(request, form).get_absolute_url())
    context = {
        **admin.site.each_context(request),
        "title": "Import",
        "subtitle": None,
        "form": form,
        "tenants": form.tenants.order_by("external_id")[:TENANTS_OFFERED],
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/panel/import.html", context)


def _checked(request: HttpRequest, form: ImportForm) -> Job:
    if form.long is not None:
        return _read_later(request, form, form.long)
    return jobs.check(
        importing.draft(
            form.rows,
            source=form.source,
            actor=actor_of(request),
            tenant=form.cleaned_data["tenant"],
        )
    )


def _read_later(request: HttpRequest, form: ImportForm, long: LongFile) -> Job:
    """A job that leads to the import's own, once the file is read."""
    held = next(name for name in PERMISSIONS if request.user.has_perm(name))
    return jobs.apply(
        reading.draft_file(
            long.octets,
            long.written,
            long.hints,
            source=form.source,
            tenant=form.cleaned_data["tenant"],
            permission=held,
            actor=actor_of(request),
        )
    )


def differences_of(job: Job, asked: Mapping[str, str]) -> dict[str, Any]:
    """What the page of an import shows of its rows, those of one verdict where one is asked for."""
    verdict = asked.get("verdict", "") if asked.get("verdict") in VERDICTS else ""
    number = asked.get("page", "")
    page = int(number) if number.isdecimal() and len(number) < 6 else 0
    counts = _counts(job)
    items = _of_verdict(job, verdict)
    shown = list(items[page * ROWS_SHOWN : (page + 1) * ROWS_SHOWN + 1])
    return {
        "verdicts": [(name, label, counts.get(name, 0)) for name, (label, _) in VERDICTS.items()],
        "verdict": verdict,
        "start_label": _start_label(job),
        "rows": [(item, *_verdict_of(item)) for item in shown[:ROWS_SHOWN]],
        "before": page - 1 if page else None,
        "after": page + 1 if len(shown) > ROWS_SHOWN else None,
    }


def _start_label(job: Job) -> str:
    """What is asked for: all rows, or those that are not refused."""
    if job.refused:
        noun = "good one" if job.changed == 1 else "good ones"
        return f"Take the {job.changed:,} {noun}"
    return f"Take all {job.changed:,}" if job.changed > 1 else "Take it"


def _result(job: Job) -> str:
    return "outcome" if job.phase == Job.Phase.APPLY and job.handled else "forecast"


def _counts(job: Job) -> dict[str, int]:
    """How many rows there are of each verdict."""
    field = _result(job)
    grouped = job.items.order_by().values_list(field, "payload__verdict").annotate(Count("pk"))
    counts: dict[str, int] = {}
    for result, verdict, count in grouped:
        name = verdict if result == JobItem.Outcome.CHANGED else result
        counts[name] = counts.get(name, 0) + count
    return counts


def _of_verdict(job: Job, verdict: str) -> Any:
    rows = job.items.all()
    if verdict in (importing.NEW, importing.DIFFERENT):
        return rows.filter(**{_result(job): JobItem.Outcome.CHANGED}, payload__verdict=verdict)
    return rows.filter(**{_result(job): verdict}) if verdict else rows


def _verdict_of(item: JobItem) -> tuple[str, str]:
    """Label and colour."""
    result = item.outcome or item.forecast
    name = item.payload.get("verdict", result) if result == JobItem.Outcome.CHANGED else result
    return VERDICTS.get(name, ("not checked yet", "default"))
