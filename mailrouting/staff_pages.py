"""The pages of users and groups: who may open the panel, and as what.

Only superusers change anything here, whatever else a group allows: who may edit users may make
himself everything else.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from mailrouting.staff import give_role, role_of
from tenants.admin.base import AttributedAdmin, actor_of, reason_of
from tenants.roles import GROUPS, Role

MEANINGS = [
    ("", "None: the panel stays closed, unless a group below opens it"),
    (Role.AUDITOR, "Auditor: sees everything but what is in messages, exports, changes nothing"),
    (Role.OPERATOR, "Operator: edits routing, acts on mail, reads messages (which is logged)"),
    (Role.SUPERUSER, "Superuser: everything; also users, roles and the erasure of persons"),
]
COLOURS = {Role.AUDITOR: "info", Role.OPERATOR: "success", Role.SUPERUSER: "warning"}
SHORT = {Role.AUDITOR: "auditor", Role.OPERATOR: "operator", Role.SUPERUSER: "superuser"}
OWN_ROLE = "You cannot take your own role from yourself; another superuser can."


class StaffForm(UserChangeForm):
    """A user with one role."""

    role = forms.ChoiceField(
        choices=MEANINGS, required=False, widget=UnfoldAdminRadioSelectWidget, initial=""
    )
    change_reason = forms.CharField(
        label="Reason for this change",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Optional; stands in the history beside the change.",
    )
    actor: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "groups" in self.fields:
            own = Group.objects.exclude(name__in=GROUPS)
            self.fields["groups"].queryset = own
            self.initial["groups"] = list(own.filter(user=self.instance.pk))
        self.initial["role"] = role_of(self.instance) or ""

    def clean_role(self) -> str:
        """Nobody locks himself out, and so a superuser always remains."""
        role = str(self.cleaned_data["role"])
        if self.instance.pk == getattr(self.actor, "pk", None) and role != Role.SUPERUSER:
            raise forms.ValidationError(OWN_ROLE)
        return role

    def clean_groups(self) -> list[Group]:
        """The groups chosen, and the role's as it is: `give_role` alone changes that."""
        roles = self.instance.groups.filter(name__in=GROUPS) if self.instance.pk else ()
        return [*self.cleaned_data["groups"], *roles]

    def clean_is_active(self) -> bool:
        is_active = bool(self.cleaned_data["is_active"])
        if not is_active and self.instance.pk == getattr(self.actor, "pk", None):
            raise forms.ValidationError("You cannot deactivate yourself.")
        return is_active


class SuperuserPages(ModelAdmin):
    """Pages that others may look at, where they have the permission, and superusers alone edit."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, *_row: Any, **_rows: Any) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, *_row: Any, **_rows: Any) -> bool:
        return bool(request.user.is_superuser)


class PanelUserAdmin(UserAdmin, SuperuserPages, AttributedAdmin):  # type: ignore[misc]
    """Who may open the panel; a role says as what. Every change of it stands in the history."""

    form = StaffForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "role", "is_active", "last_login")
    list_filter = ("groups", "is_superuser", "is_active")
    search_fields = ("username__startswith", "email__startswith")
    readonly_fields = ("last_login", "date_joined")
    empty_hint = "Add a user for each person; a role lets them open this panel."
    fieldsets = (
        (None, {"fields": ("username", "password", "is_active")}),
        ("Who it is", {"fields": ("first_name", "last_name", "email")}),
        ("Role", {"fields": ("role",)}),
        (
            "Beside the role",
            {
                "fields": ("groups",),
                "classes": ("collapse",),
                "description": "Groups of your own allow more than the role does, never less.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    why = (("Why", {"fields": ("change_reason",)}),)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        if not self.has_change_permission(request, obj):
            return [
                part for part in fieldsets if part[0] != "Role" and "password" not in str(part[1])
            ]
        return (*fieldsets, *self.why)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).prefetch_related("groups")

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.actor = request.user
        return form

    def has_delete_permission(self, request: HttpRequest, *row: Any, **rows: Any) -> bool:
        """Nobody deletes himself, and so a superuser always remains."""
        return super().has_delete_permission(request) and request.user not in (*row, *rows.values())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """The list's own action asks about no single row."""
        super().delete_queryset(request, queryset.exclude(pk=request.user.pk))
        if queryset.filter(pk=request.user.pk).exists():
            messages.warning(request, "You were left out: another superuser can delete you.")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        super().save_related(request, form, formsets, change)
        if change and {"role", "groups"} & set(form.changed_data):
            role = form.cleaned_data["role"]
            give_role(
                form.instance,
                Role(role) if role else None,
                actor=actor_of(request),
                reason=reason_of(request),
            )

    @display(description="role", label={SHORT[role]: colour for role, colour in COLOURS.items()})
    def role(self, user: User) -> str:
        found = role_of(user)
        if found is None:
            return "by groups" if user.is_staff else "—"
        return SHORT[found]


class PanelGroupAdmin(GroupAdmin, SuperuserPages, AttributedAdmin):  # type: ignore[misc]
    """Groups of one's own; those behind the roles are kept as they are by every start."""

    empty_hint = "A group is a set of permissions that several members of staff share."

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not is_role(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_role(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """The list's own action asks about no single row."""
        super().delete_queryset(request, queryset.exclude(name__in=GROUPS))
        if queryset.filter(name__in=GROUPS).exists():
            messages.warning(request, "Roles stay: they cannot be deleted.")


def is_role(group: Any) -> bool:
    """Whether the group is one behind a role."""
    return group is not None and group.name in GROUPS
