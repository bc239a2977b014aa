"""Plans, tenants and who acts for them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.models import OuterRef
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from tenants.admin.base import PanelAdmin, PanelInline, actor_of
from tenants.admin.exports import ExportMixin, as_file
from tenants.admin.standing import StandingMixin
from tenants.admin.timeline import TimelineMixin
from tenants.counting import capped_count, print_capped
from tenants.imports.exporting import OF_TENANT, export, formats_for, rows_of_tenant
from tenants.imports.reading import LABELS, Format
from tenants.models import Domain, Membership, Plan, Tenant
from tenants.models.tenant import LIMITS
from tenants.octets import print_octets

STATE_COLOURS = {
    Tenant.State.ACTIVE: "success",
    Tenant.State.SUSPENDED: "warning",
    Tenant.State.SUSPENDED_FOR_ABUSE: "danger",
    Tenant.State.CLOSED: "default",
}


@admin.register(Plan)
class PlanAdmin(PanelAdmin):
    list_display = ("name", "max_domains", "max_addresses", "messages_per_hour", "largest", "kept")
    search_fields = ("name__istartswith",)
    empty_hint = "A plan is a named set of limits. Add one first: every tenant is on a plan."
    fieldsets = (
        (None, {"fields": ("name",)}),
        ("Limits", {"fields": LIMITS, "description": "Empty means no limit."}),
    )

    @display(description="largest message")
    def largest(self, plan: Plan) -> str:
        return print_octets(plan.max_message_octets) if plan.max_message_octets else "—"

    @display(description="retention")
    def kept(self, plan: Plan) -> str:
        return f"{plan.retention_days} days" if plan.retention_days is not None else "—"


class MembershipInline(PanelInline):
    model = Membership
    autocomplete_fields = ("user",)
    verbose_name_plural = "members"


@admin.register(Tenant)
class TenantAdmin(ExportMixin, TimelineMixin, StandingMixin):
    list_display = ("name", "external_id", "state_label", "plan", "domains_link", "created_at")
    list_select_related = ("plan",)
    list_filter = (("state", ChoicesDropdownFilter), ("plan", AutocompleteSelectFilter))
    search_fields = ("name__istartswith", "external_id__startswith")
    autocomplete_fields = ("plan",)
    readonly_fields = ("state", "state_since", "created_at")
    change_form_outer_before_template = "admin/panel/tenant_links.html"
    inlines = (MembershipInline,)
    empty_hint = "A tenant is a customer: it owns domains. Add a plan first, then a tenant on it."
    limits = ("Own limits", {"fields": LIMITS, "description": "Empty takes the plan's limit."})
    content = ("Content", {"fields": ("filters_mail", "on_spam", "on_suspicious", "on_virus")})
    fieldsets = (
        (None, {"fields": ("name", "external_id", "plan", "state", "state_since")}),
        limits,
        content,
    )
    add_fieldsets = ((None, {"fields": ("name", "external_id", "plan")}), limits, content)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_all)
        own = path("<int:pk>/export-all/", view, name="tenants_tenant_export_all")
        return [own, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: Tenant) -> dict[str, Any]:
        formats = formats_for(OF_TENANT) if self.has_export_permission(request) else []
        taken_as = [(each.value, LABELS[each]) for each in formats]
        return {**super().page_context(request, row), "taken_as": taken_as}

    def export_all(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """All that can be exchanged of the tenant, as a file that can be imported again."""
        tenant = self.get_object(request, str(pk))
        if tenant is None:
            raise Http404
        if not self.has_export_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return redirect(tenant.get_absolute_url())
        written = request.POST.get("written", "")
        if written not in formats_for(OF_TENANT):
            raise SuspiciousOperation(f"no such format: {written}")
        actor = actor_of(request)
        pieces = export(
            rows_of_tenant(tenant, actor),
            OF_TENANT,
            Format(written),
            what=f"everything of tenant {tenant.external_id}",
            actor=actor,
            has_tenant=False,
            tenant_id=tenant.pk,
        )
        return as_file(pieces, Format(written), tenant.external_id)

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def state_label(self, tenant: Tenant) -> tuple[str, str]:
        return tenant.state, tenant.get_state_display()

    def complete(self, rows: list[Any]) -> None:
        """Each with the number of its domains; one query."""
        super().complete(rows)
        count = capped_count(Domain.objects.filter(tenant=OuterRef("pk")))
        counted = Tenant.objects.filter(pk__in=[row.pk for row in rows])
        found = dict(counted.values_list("pk", count))
        for row in rows:
            row.domain_count = found.get(row.pk, 0)

    @display(description="domains")
    def domains_link(self, tenant: Any) -> str:
        """How many there are, as a link to their list."""
        url = reverse("admin:tenants_domain_changelist")
        count = print_capped(tenant.domain_count)
        link = '<a class="panel-link" href="{}?tenant__id__exact={}">{}</a>'
        return format_html(link, url, tenant.pk, count)

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> tuple:
        return self.inlines if obj else ()


@admin.register(Membership)
class MembershipAdmin(PanelAdmin):
    row_label = "user__username"
    list_display = ("user", "tenant", "role")
    list_select_related = ("user", "tenant")
    list_filter = (("tenant", AutocompleteSelectFilter), ("role", ChoicesDropdownFilter))
    search_fields = ("user__username__startswith", "user__email__startswith")
    autocomplete_fields = ("tenant", "user")
    fixed_fields = ("tenant", "user")
    fields = ("tenant", "user", "role")
    empty_hint = "A membership lets a user act for a tenant. Users are made under Operations."
