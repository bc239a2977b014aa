"""Taking a list out as a file, and who did.

The rows are those of the list as it is filtered, or those that were chosen in it: what the list
shows, so nothing that whoever asks may not see. They leave piece by piece.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold.decorators import action, display

from tenants.admin import narrowing
from tenants.admin.base import ReadOnlyAdmin, RowAdmin, actor_of
from tenants.imports.exporting import CONTENT_TYPES, ENDINGS, export, formats_for
from tenants.imports.reading import LABELS, Format
from tenants.imports.rows import Kind
from tenants.imports.stored import kind_of, stream
from tenants.models import Export
from tenants.roles import EXPORT_ROWS

NO_SUCH_FILTER = "Nothing was exported: the list’s filter names what is not there. Set it again."


def _taken_as(written: Format) -> Any:
    """Taking the chosen rows out, as an action of the list."""

    @action(description=f"Export as {LABELS[written]}", permissions=["export"])
    def take(
        page: "ExportMixin", request: HttpRequest, queryset: QuerySet
    ) -> StreamingHttpResponse:
        return page.file_of(request, queryset, written, chosen="chosen rows")

    return take


class ExportMixin(RowAdmin):
    """A list whose rows can be taken out, as a file that can be imported."""

    list_after_template = "admin/panel/export.html"
    export_csv = _taken_as(Format.CSV)
    export_json = _taken_as(Format.JSON)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.has_perm(EXPORT_ROWS)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Those of the list, and the two formats that can be imported again."""
        found: dict[str, Any] = super().get_actions(request)
        if self.has_export_permission(request):
            found |= {name: self.get_action(name) for name in ("export_csv", "export_json")}
        return found

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        own = path("export/", self.admin_site.admin_view(self.export_list), name=name)
        return [own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        formats = formats_for([self.exported_kind]) if self.has_export_permission(request) else []
        more = {
            "export_formats": [(each.value, LABELS[each]) for each in formats],
            "export_url": f"admin:{self.opts.app_label}_{self.opts.model_name}_export",
        }
        return super().changelist_view(request, {**more, **(extra_context or {})})

    @property
    def exported_kind(self) -> Kind:
        kind = kind_of(self.model)
        if kind is None:
            raise TypeError(f"{self.model} is not exchanged")
        return kind

    def export_list(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is filtered, in the format that is asked for."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        written = request.POST.get("written", "")
        if written not in formats_for([self.exported_kind]):
            raise SuspiciousOperation(f"no such format: {written}")
        try:
            listed = self.get_changelist_instance(request)
            rows = listed.get_queryset(request)
        except IncorrectLookupParameters:
            messages.error(request, NO_SUCH_FILTER)
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return self.file_of(request, rows, Format(written), chosen=narrowing.tell(listed))

    def file_of(
        self, request: HttpRequest, rows: QuerySet, written: Format, *, chosen: str
    ) -> StreamingHttpResponse:
        kind = self.exported_kind
        pieces = export(
            stream(rows, kind),
            [kind],
            written,
            what=f"{self.opts.verbose_name_plural}: {chosen}",
            actor=actor_of(request),
            has_tenant=True,
            tenant_id=narrowing.tenant_of(request.GET),
        )
        return as_file(pieces, written, str(self.opts.verbose_name_plural))


def as_file(pieces: Iterable[str], written: Format, name: str) -> StreamingHttpResponse:
    """A file to be kept, sent piece by piece."""
    content_type = f"{CONTENT_TYPES.get(written, 'text/plain')}; charset=utf-8"
    response = StreamingHttpResponse(pieces, content_type=content_type)
    full_name = f"{name}{ENDINGS.get(written, '')}".replace(" ", "-")
    response["Content-Disposition"] = f'attachment; filename="{full_name}"'
    return response


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """Who took rows out."""

    list_display = ("at", "actor_name", "what", "taken_as", "rows", "is_whole", "client")
    fields = ("at", "ended_at", "actor_name", "surface", "client", "what", "taken_as", "rows")
    search_fields = ("actor_name__startswith",)
    empty_hint = "Whoever takes rows out as a file is noted here, with what and how many."

    @display(description="format")
    def taken_as(self, taken: Export) -> str:
        return LABELS.get(Format(taken.written), taken.written)

    @display(description="whole", boolean=True)
    def is_whole(self, taken: Export) -> bool:
        return taken.ended_at is not None
