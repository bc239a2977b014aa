"""Domains: what to publish, what was found, check now, release."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from tenants import services
from tenants.admin.base import PanelAdmin, actor_of, reason_of, refusals_at
from tenants.admin.bulk import bulk_action
from tenants.admin.check_now import check_now
from tenants.admin.deeds import RELAY, ROLE_HOLDER
from tenants.admin.exports import ExportMixin
from tenants.admin.filters import EnvironmentFilter, TroubleFilter
from tenants.admin.forms import PanelForm
from tenants.admin.records import records_of
from tenants.admin.trouble import outlook_of, trouble_of
from tenants.dns import zone_file
from tenants.forewarning import owners_to_tell
from tenants.golive import checklist, read_facts
from tenants.models import Domain

SHOWN_FOREWARNINGS = 5
NO_REASON = "Say why this name may look like another: it stands in the history."
STATE_COLOURS = {
    Domain.State.PENDING: "info",
    Domain.State.ACTIVE: "success",
    Domain.State.DEGRADED: "warning",
    Domain.State.RELEASED: "default",
}


class DomainForm(PanelForm):
    """A name that looks like another passes for a reason alone."""

    def clean(self) -> Any:
        data = super().clean() or self.cleaned_data
        is_let_pass = "may_look_alike" in self.changed_data and data["may_look_alike"]
        if is_let_pass and not data.get("change_reason"):
            self.add_error("change_reason", NO_REASON)
        return data


@admin.register(Domain)
class DomainAdmin(ExportMixin, PanelAdmin):
    form = DomainForm
    list_display = (
        "shown",
        "tenant",
        "environment",
        "state_label",
        "trouble",
        "outlook",
        "checked",
    )
    list_select_related = ("tenant",)
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("state", ChoicesDropdownFilter),
        EnvironmentFilter,
        TroubleFilter,
    )
    search_fields = ("name__startswith", "u_label__startswith")
    autocomplete_fields = ("tenant", "default_role_holder", "smarthost")
    fixed_fields = ("tenant", "name")
    actions = (bulk_action(RELAY, label="name"), bulk_action(ROLE_HOLDER, label="name"))
    readonly_fields = ("state", "state_since")
    change_form_outer_before_template = "admin/panel/domain_records.html"
    empty_hint = (
        "A domain is added as pending. Its page then shows the DNS records to publish; once they "
        "are found it receives mail."
    )
    fieldsets = (
        (None, {"fields": ("tenant", "name", "environment", "state", "state_since")}),
        (
            "What its addresses look like",
            {
                "fields": (
                    "delimiters",
                    "local_part_pattern",
                    "local_part_max_octets",
                    "hides_disabled",
                )
            },
        ),
        ("Where mail goes", {"fields": ("default_role_holder", "smarthost")}),
        ("What it looks like", {"fields": ("may_look_alike",)}),
    )
    # A claim says what and for whom; the rest is decided on the domain's page.
    add_fieldsets = ((None, {"fields": ("tenant", "name", "environment", "may_look_alike")}),)

    def save_model(self, request: HttpRequest, obj: Domain, form: Any, change: Any) -> None:
        """A new domain is a claim."""
        if change:
            super().save_model(request, obj, form, change)
            return
        with refusals_at(form.prefix):
            claimed = services.claim_domain(
                obj.tenant,
                obj.name,
                environment=obj.environment,
                may_look_alike=obj.may_look_alike,
                actor=actor_of(request),
                reason=reason_of(request) or "claimed",
            )
        obj.pk = claimed.pk
        obj.refresh_from_db()

    def response_post_save_add(self, request: HttpRequest, obj: Domain) -> HttpResponse:
        """On to the records that it has to publish."""
        return redirect(obj.get_absolute_url())

    @display(description="domain", ordering="name")
    def shown(self, domain: Domain) -> str:
        return str(domain)

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def state_label(self, domain: Domain) -> tuple[str, str]:
        return domain.state, domain.get_state_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).prefetch_related("checks")

    @display(description="trouble")
    def trouble(self, domain: Domain) -> str:
        return trouble_of(domain.checks.all()) or "—"

    @display(description="what comes of it")
    def outlook(self, domain: Domain) -> str:
        return outlook_of(domain, domain.checks.all(), timezone.now()) or "—"

    @display(description="checked")
    def checked(self, domain: Domain) -> Any:
        moments = [check.checked_at for check in domain.checks.all() if check.checked_at]
        return max(moments, default="never")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/check-now/", wrap(self.check_now), name="tenants_domain_check_now"),
            path("<int:pk>/release/", wrap(self.release), name="tenants_domain_release"),
        ]
        return own + super().get_urls()

    def page_context(self, request: HttpRequest, row: Domain) -> dict[str, Any]:
        records = records_of(row)
        lines = checklist(read_facts(row, now=timezone.now()))
        return {
            "records": records,
            "zone_file": zone_file(each.expected for each in records if not each.is_optional),
            "checklist": lines,
            "forewarnings": row.forewarnings.all()[:SHOWN_FOREWARNINGS],
            "current": set(row.forewarnings.current().values_list("pk", flat=True)),
            "owners": len(owners_to_tell(row.tenant)),
            "open_lines": sum(not line.is_done for line in lines),
        }

    def check_now(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask the name servers at once; what they said stands on the page that follows."""
        domain = self.writable(request, pk)
        if request.method == "POST":
            told = check_now(domain, actor=actor_of(request), now=timezone.now())
            messages.add_message(request, told.level, told.text)
        return redirect(domain.get_absolute_url())

    def release(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give the domain up, after a page that says what that means."""
        domain = self.writable(request, pk)
        if request.method != "POST":
            context = {
                **self.admin_site.each_context(request),
                "title": f"Release {domain}",
                "opts": self.opts,
                "domain": domain,
                "alive": domain.addresses.alive().count(),
            }
            return TemplateResponse(request, "admin/panel/domain_release.html", context)
        try:
            services.release_domain(
                domain, actor=actor_of(request), reason=reason_of(request) or "released"
            )
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, f"{domain} is released; its mail is refused from now on.")
        return redirect(domain.get_absolute_url())
