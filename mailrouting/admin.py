"""Other packages' models in the panel's look; their own admins stay as they are otherwise."""

from typing import Any

from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.admin import AuthenticatorAdmin
from allauth.mfa.models import Authenticator
from allauth.socialaccount.admin import SocialAccountAdmin, SocialAppAdmin, SocialAppForm
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from mailrouting.sign_in_secrets import seal
from mailrouting.staff_pages import PanelGroupAdmin, PanelUserAdmin


class ChangingActionsMixin:
    """Another package's actions ask for no permission; all of them change rows."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        return actions if self.has_change_permission(request) else {}  # type: ignore[attr-defined]


class TaskSelectWidget(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    pass


class TaskForm(beat.PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelectWidget()


class TaskInline(TabularInline):
    model = PeriodicTask
    fields = ("name", "task", "enabled")
    readonly_fields = fields
    can_delete = False
    extra = 0
    verbose_name_plural = "schedules that use this"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PanelTaskAdmin(ChangingActionsMixin, beat.PeriodicTaskAdmin, ModelAdmin):
    form = TaskForm
    date_hierarchy = None
    list_display = ("name", "enabled", "scheduler", "last_run_at")
    list_filter = ("enabled", "one_off")
    change_form_template = None
    empty_hint = "Schedules appear here when beat has started once."


class PanelScheduleAdmin(ModelAdmin):
    inlines = (TaskInline,)


class PanelCrontabAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    inlines = (TaskInline,)


class PanelAuthenticatorAdmin(AuthenticatorAdmin, ModelAdmin):
    """Deleting one lets its owner set up a new second factor; what it holds is never shown."""

    list_select_related = ("user",)
    fields = ("user", "type", "created_at", "last_used_at")
    readonly_fields = fields
    empty_hint = "Apps and keys that staff and tenants sign in with."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PanelEmailAddressAdmin(ChangingActionsMixin, EmailAddressAdmin, ModelAdmin):
    list_select_related = ("user",)


class ProviderForm(SocialAppForm):
    """A provider's secret is sealed, and shown to nobody once it is stored."""

    secret = forms.CharField(
        label="Secret key",
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="The client secret. It stands sealed and is not shown; empty keeps what it is.",
    )

    def clean_secret(self) -> str:
        """As it is stored. Raises ValidationError where it is too long for that."""
        if not (typed := self.cleaned_data["secret"]):
            return str(self.instance.secret)
        sealed = seal(typed)
        if len(sealed) > SocialApp._meta.get_field("secret").max_length:
            raise ValidationError("It is too long: at most 79 characters can be sealed.")
        return sealed


class PanelSocialAppAdmin(SocialAppAdmin, ModelAdmin):
    form = ProviderForm


class PanelSocialAccountAdmin(SocialAccountAdmin, ModelAdmin):
    list_select_related = ("user",)


ADMINS = {
    User: PanelUserAdmin,
    Group: PanelGroupAdmin,
    PeriodicTask: PanelTaskAdmin,
    ClockedSchedule: PanelScheduleAdmin,
    CrontabSchedule: PanelCrontabAdmin,
    IntervalSchedule: PanelScheduleAdmin,
    SolarSchedule: PanelScheduleAdmin,
    Authenticator: PanelAuthenticatorAdmin,
    EmailAddress: PanelEmailAddressAdmin,
    SocialApp: PanelSocialAppAdmin,
    SocialAccount: PanelSocialAccountAdmin,
}

for model, model_admin in ADMINS.items():
    admin.site.unregister(model)
    admin.site.register(model, model_admin)

admin.site.unregister(SocialToken)  # a list of other sites' secrets that nobody needs to read
