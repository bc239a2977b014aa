"""Who may open the panel, and as what: Django's users and groups, with a history of their own.

Triggers record what is changed, in raw SQL as well; passwords and addresses are left out of it.
"""

from django.contrib.auth.models import User

from tenants.models.history import tracked_elsewhere


@tracked_elsewhere(fields=["username", "is_active", "is_staff", "is_superuser"])
class Account(User):
    """A user of the panel, as the history knows it."""

    class Meta:
        proxy = True
        app_label = "tenants"
        default_permissions = ()
        verbose_name = "user"


@tracked_elsewhere()
class AccountGroup(User.groups.through):  # type: ignore[name-defined]
    """That a user is in a group: a role, where the group is one."""

    class Meta:
        proxy = True
        app_label = "tenants"
        default_permissions = ()
        verbose_name = "membership of group"
