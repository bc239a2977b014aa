"""Who is told of alarms, with a button that tries it and says what came of it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from gateway.watch import notices, sending
from gateway.watch.facts import Kind
from gateway.watch.models import AlarmRecipient, Notice
from gateway.watch.webhook import conceal
from tenants.admin.base import PanelAdmin
from tenants.admin.forms import PanelForm

NOTICES_SHOWN = 20
KEPT_AS_IT_IS = " Of a webhook only the host is shown: write the whole address to change it."


class RecipientForm(PanelForm):
    kinds = forms.MultipleChoiceField(
        choices=[(kind.value, kind.value) for kind in Kind],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen means all.",
    )

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.instance.pk and "address" in self.fields:
            self.initial["address"] = conceal(self.instance.address)
            self.fields["address"].help_text += KEPT_AS_IT_IS

    def clean_address(self) -> str:
        """What is shown of a webhook's address, sent back, means the address itself."""
        typed: str = self.cleaned_data["address"]
        kept = self.instance.address
        return kept if kept and typed == conceal(kept) else typed


@admin.register(AlarmRecipient)
class AlarmRecipientAdmin(PanelAdmin):
    form = RecipientForm
    list_display = (
        "name",
        "channel",
        "place",
        "kinds_shown",
        "minimum_severity",
        "last",
        "enabled",
    )
    list_filter = (("channel", ChoicesDropdownFilter),)
    search_fields = ("name__istartswith",)
    fieldsets = (
        (None, {"fields": ("name", "channel", "address", "enabled")}),
        ("Which alarms", {"fields": ("minimum_severity", "kinds")}),
    )
    change_form_outer_before_template = "admin/watch/recipient.html"
    empty_hint = (
        "Nobody is told of alarms yet. Add a mail address or a webhook; its page has a button "
        "that sends a test."
    )

    @display(description="address")
    def place(self, recipient: AlarmRecipient) -> str:
        return conceal(recipient.address)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whoever may only look does not see the whole address of a webhook."""
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        _, *others = self.fieldsets
        return ((None, {"fields": ("name", "channel", "place", "enabled")}), *others)

    @display(description="kinds")
    def kinds_shown(self, recipient: AlarmRecipient) -> str:
        return ", ".join(recipient.kinds) or "all"

    @display(description="last told")
    def last(self, recipient: Any) -> Any:
        return recipient.last_sent_at

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).with_last_sent()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.try_out))
        own = path("<int:pk>/test/", view, name="watch_alarmrecipient_test")
        return [own, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: AlarmRecipient) -> dict[str, Any]:
        return {
            **super().page_context(request, row),
            "notices": row.notices.all()[:NOTICES_SHOWN],
        }

    def try_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a test now, while somebody waits, and say what the other side said."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        recipient = self.writable(request, pk)
        now, where = timezone.now(), conceal(recipient.address)
        notice = notices.queue_test(recipient, now=now)
        if (claimed := sending.claim(now, only=notice.pk)) is not None:
            sending.send(claimed, now=now)
            notice = claimed
        if notice.state == Notice.State.SENT:
            messages.success(request, f"The test was sent to {where}: {notice.reply}")
        else:
            messages.error(request, f"The test was not sent to {where}: {notice.reply}")
        return redirect(recipient.get_absolute_url())
