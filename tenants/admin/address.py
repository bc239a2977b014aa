"""Aliases, role addresses, their targets and their subaddress rules."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from tenants import permissions, services
from tenants.admin.base import PanelAdmin, PanelInline
from tenants.admin.bulk import bulk_action
from tenants.admin.deeds import (
    DISABLE,
    ENABLE,
    EXCHANGE,
    EXPIRE,
    EXTEND,
    HOLD,
    MOVE,
    OWN,
    RETARGET,
)
from tenants.admin.exports import ExportMixin
from tenants.admin.filters import (
    ConcernFilter,
    DomainEnvironmentFilter,
    ExpiryFilter,
    StateFilter,
    TargetKindFilter,
    UseFilter,
)
from tenants.admin.forms import RefusedError
from tenants.forwards import forwarders
from tenants.models import Address, Alias, RoleAddress, SubaddressRule, Target

BULK: tuple[Any, ...] = tuple(
    bulk_action(deed) for deed in (ENABLE, DISABLE, EXPIRE, EXTEND, RETARGET, EXCHANGE, MOVE, OWN)
)
BADGE = '<span class="panel-label panel-label-danger panel-concern" title="{1}">{0}</span>'
STATES = {"enabled": "success", "disabled": "default", "expired": "warning"}


class TargetInline(PanelInline):
    model = Target
    fk_name = "address"
    fields = ("position", "kind", "mailbox", "forward_to")
    autocomplete_fields = ("mailbox",)
    hide_title = True

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 1 if obj is None else 0


class RoleTargetInline(TargetInline):
    verbose_name_plural = "targets (empty: the holder's mailbox)"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0


class RuleTargetInline(TargetInline):
    fk_name = "rule"
    verbose_name_plural = "targets (for retarget)"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0


class SubaddressRuleInline(PanelInline):
    model = SubaddressRule
    fields = ("detail", "action", "goes_to")
    readonly_fields = ("goes_to",)
    show_change_link = True
    hide_title = True

    @display(description="goes to")
    def goes_to(self, rule: SubaddressRule) -> str:
        if rule._state.adding:
            return "Save first, then choose its targets."
        if rule.action != SubaddressRule.Action.RETARGET:
            return "—"
        targets = ", ".join(map(str, rule.targets.all())) or "no target yet"
        return format_html('<a href="{}">{}</a>', rule.get_absolute_url(), targets)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("targets__mailbox")


class TargetedAdmin(PanelAdmin):
    """A page whose row has targets in a table below it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        super().save_related(request, form, formsets, change)
        try:
            form.instance.check_targets()
        except ValidationError as error:
            raise RefusedError(form.prefix, error) from error


class AddressAdmin(TargetedAdmin):
    """What aliases and role addresses share."""

    row_label = "key"
    list_select_related = ("domain__tenant", "owner", "holder", "use")
    list_filter: tuple[Any, ...] = (
        ("domain__tenant", AutocompleteSelectFilter),
        ("domain", AutocompleteSelectFilter),
        DomainEnvironmentFilter,
        TargetKindFilter,
        StateFilter,
        ExpiryFilter,
        UseFilter,
        ConcernFilter,
        ("owner", AutocompleteSelectFilter),
    )
    # What has an index; the rest is narrowed by filters.
    sortable_by = ("shown", "expires", "created_at")
    search_fields = ("key__startswith",)
    autocomplete_fields = ("domain", "owner", "holder")
    fixed_fields = ("domain",)
    actions = BULK
    change_form_template = "admin/panel/address_form.html"
    change_form_outer_before_template = "admin/panel/address_links.html"
    list_per_page = 50
    search_help_text = "Beginning of an address"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("targets__mailbox", "concerns")

    def page_context(self, request: HttpRequest, row: Address) -> dict[str, Any]:
        return {**super().page_context(request, row), "forwarders": forwarders([row]).get(row.pk)}

    def deletion_warning(self, row: Address) -> str:
        found = forwarders([row]).get(row.pk)
        return found.losing() if found else ""

    def has_retarget_permission(self, request: HttpRequest) -> bool:
        """For actions that say where mail goes."""
        may_retarget = request.user.has_perm(permissions.CHANGE_TARGETS)
        return may_retarget and bool(self.has_change_permission(request))

    @display(description="address", ordering="key")
    def shown(self, address: Address) -> str:
        return f"{address.local_part}@{address.domain}"

    @display(description="tenant")
    def tenant(self, address: Address) -> str:
        return str(address.domain.tenant)

    @display(description="state", label=STATES)
    def state_label(self, address: Address) -> str:
        if address.is_expired or address.expired_at:
            return "expired"
        return "enabled" if address.enabled else "disabled"

    @display(description="goes to")
    def goes_to(self, address: Address) -> str:
        targets = list(address.targets.all())
        more = f" and {len(targets) - 2} more" if len(targets) > 2 else ""
        told = ", ".join(map(str, targets[:2])) + more or str(address.holder or "—")
        worries = [(concern.get_kind_display(), concern) for concern in address.concerns.all()]
        badges = format_html_join("", BADGE, worries)
        return format_html("{}{}", told, badges) if worries else told

    @display(description="last mail")
    def last_mail(self, address: Address) -> str:
        """The day of the newest mail that was accepted for it; a dash before the first look."""
        use = getattr(address, "use", None)
        if use is None:
            return "—"
        return localtime(use.used_at).strftime("%Y-%m-%d") if use.used_at else "never"

    @display(description="expires at", ordering="expires_at", empty_value="—")
    def expires(self, address: Address) -> str | None:
        """The day, and the time below it where the column is narrow."""
        if address.expires_at is None:
            return None
        day, time = localtime(address.expires_at).strftime("%Y-%m-%d %H:%M").split()
        part = '<span class="panel-when">{}</span>'
        return format_html(f"{part} {part}", day, time)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        warn(request, obj)
        return super().response_add(request, obj, *args)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        warn(request, obj)
        return super().response_change(request, obj)


def warn(request: HttpRequest, address: Address) -> None:
    """Say what is allowed but may surprise, after the save."""
    for sentence in services.warnings_for(address):
        messages.warning(request, sentence)
    retargeting = address.rules.filter(action=SubaddressRule.Action.RETARGET, targets=None)
    for rule in retargeting:
        messages.warning(
            request,
            format_html(
                'Detail “{}” is retargeted but has no target yet: <a href="{}">choose one</a>.',
                rule.detail,
                rule.get_absolute_url(),
            ),
        )


LIMIT_FIELDS = ("max_message_octets", "rate_per_hour", "accepts_forwards_from")
SENDER_FIELDS = (
    "allowed_senders",
    "sender_match",
    "authentication",
    "signing_domain",
    "authentication_failure",
)
FILTER_FIELDS = ("filters_mail", "on_spam", "on_suspicious", "on_virus")
FILTERS = "What a content filter finds before mail is accepted. Empty takes the tenant's choice."
EXEMPT = "Never applied to postmaster and abuse, which are always reachable."


@admin.register(Alias)
class AliasAdmin(ExportMixin, AddressAdmin):
    list_display = ("shown", "tenant", "goes_to", "state_label", "owner", "last_mail", "expires")
    inlines = (TargetInline, SubaddressRuleInline)
    empty_hint = (
        "An alias is an address that delivers to one or more targets. Add a domain first, then the "
        "alias and where its mail goes."
    )
    fieldsets = (
        (None, {"fields": ("domain", "local_part", "enabled", "expires_at")}),
        ("What it is for", {"fields": ("owner", "purpose", "note")}),
        ("Who may write", {"fields": SENDER_FIELDS}),
        ("Content", {"fields": FILTER_FIELDS, "description": FILTERS}),
        ("How much", {"fields": LIMIT_FIELDS, "description": "Empty means no limit of its own."}),
    )


@admin.register(RoleAddress)
class RoleAddressAdmin(ExportMixin, AddressAdmin):
    actions = (*BULK, bulk_action(HOLD))
    list_display = ("shown", "tenant", "holder", "goes_to", "state_label", "last_mail")
    list_filter = (*AddressAdmin.list_filter, ("holder", AutocompleteSelectFilter))
    inlines = (RoleTargetInline, SubaddressRuleInline)
    empty_hint = (
        "postmaster and abuse answer on every active domain without a row here. Add a role address "
        "to give one of them, or security, support, … a holder of its own."
    )
    fieldsets = (
        (None, {"fields": ("domain", "local_part", "holder", "enabled", "expires_at")}),
        ("What it is for", {"fields": ("owner", "purpose", "note")}),
        ("Who may write", {"fields": SENDER_FIELDS, "description": EXEMPT}),
        ("Content", {"fields": FILTER_FIELDS, "description": EXEMPT}),
        ("How much", {"fields": LIMIT_FIELDS, "description": EXEMPT}),
    )


@admin.register(SubaddressRule)
class SubaddressRuleAdmin(TargetedAdmin):
    """Rules are added on their address; their targets are chosen here.

    The newest first: the order of their addresses is another table's.
    """

    row_label = "detail"
    ordering = ("-id",)
    sortable_by = ()

    list_display = ("detail", "address", "action", "goes_to")
    list_select_related = ("address__domain",)
    list_filter = (
        ("address__domain__tenant", AutocompleteSelectFilter),
        ("action", ChoicesDropdownFilter),
    )
    search_fields = ("address__key__startswith", "detail__startswith")
    fields = ("address", "detail", "action")
    readonly_fields = ("address",)
    inlines = (RuleTargetInline,)
    empty_hint = "What happens to name+detail is added on the page of the alias or role address."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("targets__mailbox")

    @display(description="goes to")
    def goes_to(self, rule: SubaddressRule) -> str:
        return ", ".join(map(str, rule.targets.all())) or "—"
