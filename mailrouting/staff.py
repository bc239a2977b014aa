"""Gives staff their role, and keeps the groups behind the roles true.

Rule of this file: the only writer of role groups and of the flags that open the panel. What a
role may do stands in tenants.roles.
"""

from django.contrib.auth.models import Group, Permission, User

from tenants import changes
from tenants.changes import Actor
from tenants.roles import GROUPS, Role, holds


def establish_roles() -> None:
    """Give each role's group exactly the permissions of the role; after migrations, and at start.

    A permission taken away by hand comes back, one given by hand goes.
    """
    known = list(Permission.objects.select_related("content_type"))
    for role in GROUPS:
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(
            each for each in known if holds(role, each.content_type.app_label, each.codename)
        )


def role_of(user: User) -> Role | None:
    """The user's role, the mightiest where there are several; None where there is none."""
    if user.is_superuser:
        return Role.SUPERUSER
    names = {group.name for group in user.groups.all()}
    return next((role for role in reversed(GROUPS) if role in names), None)


def give_role(user: User, role: Role | None, *, actor: Actor, reason: str = "") -> None:
    """Make it the user's one role; the groups that are no roles stay.

    Without a role and without such groups the panel stays closed to the user.
    """
    with changes.attributed(actor, reason=reason):
        own = user.groups.exclude(name__in=GROUPS)
        user.groups.set([*own, *Group.objects.filter(name=role or "")])
        user.is_superuser = role is Role.SUPERUSER
        user.is_staff = role is not None or user.groups.exists()
        user.save(update_fields=["is_superuser", "is_staff"])
