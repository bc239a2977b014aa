"""What members of staff may do: the roles, and the permissions each of them holds.

Rule of this file: names and one pure function. `mailrouting.staff` gives roles to users and
keeps the groups behind them true; pages ask for permissions, never for roles.
"""

from enum import StrEnum

BODIES = ("gateway.read_body", "gateway.download_body")
"""To read what is in a message, and to take it away as it came; either is logged each time."""

EXPORT_ROWS = "tenants.export_rows"
"""To take rows out as a file; whoever exports rows has to be allowed to view them as well."""

ERASE_PERSON = "tenants.erase_person"
"""To erase a person's data, history included."""

CONTROL_PLANE = "tenants"
DATA_PLANE = "gateway"
WATCHING = "watch"
STAFF_APPS = ("auth", "mfa", "django_celery_beat")
"""Apps of others whose rows operators and auditors look at: staff, second factors, schedules."""


class Role(StrEnum):
    """What a member of staff is, by the name of the group where there is one behind it."""

    AUDITOR = "Auditors"
    OPERATOR = "Operators"
    SUPERUSER = "Superusers"  # Django's own flag: no group can be kept out of anything by it


GROUPS = (Role.AUDITOR, Role.OPERATOR)
"""Roles that are a group with permissions, which nobody edits by hand."""


def holds(role: Role, app: str, codename: str) -> bool:
    """Whether a role holds the permission `app`.`codename`; models to come are covered as well.

    Alarms and who is told of them are everything to operators, and seen by auditors.

    | role | control plane | data plane | staff, schedules |
    |---|---|---|---|
    | auditor | views, exports | views | views |
    | operator | all but erasure | views, acts on mail, reads bodies | views |
    | superuser | everything | everything | everything |
    """
    name, verb = f"{app}.{codename}", codename.partition("_")[0]
    if role is Role.SUPERUSER:
        return True
    if role is Role.OPERATOR and app == CONTROL_PLANE:
        return name != ERASE_PERSON
    if role is Role.OPERATOR and app == DATA_PLANE:
        return verb in ("view", "change") or name in BODIES
    if role is Role.OPERATOR and app == WATCHING:
        return True
    is_seen = app in (CONTROL_PLANE, DATA_PLANE, WATCHING, *STAFF_APPS)
    return name == EXPORT_ROWS or (verb == "view" and is_seen)
