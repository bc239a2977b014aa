"""Roles are given on a user's page by superusers alone, and each change stands in the history."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client

from mailrouting.staff import establish_roles, give_role, role_of
from tenants.changes import Actor
from tenants.models import AccountGroup
from tenants.roles import ERASE_PERSON, EXPORT_ROWS, Role
from tests.pages import data_of, form_of, url_of
from tests.staff import client_of, make_member_of_staff, make_staff

ADMIN = Actor.system("test")
# Permission, who holds it beside superusers.
HELD = [
    ("tenants.view_alias", "auditor operator"),
    ("tenants.view_plan", "auditor operator"),
    ("tenants.change_alias", "operator"),
    ("tenants.add_domain", "operator"),
    ("tenants.delete_mailbox", "operator"),
    (EXPORT_ROWS, "auditor operator"),
    (ERASE_PERSON, ""),
    ("gateway.view_routingrecord", "auditor operator"),
    ("gateway.change_delivery", "operator"),
    ("gateway.delete_message", ""),
    ("gateway.read_body", "operator"),
    ("gateway.download_body", "operator"),
    ("auth.view_user", "auditor operator"),
    ("auth.change_user", ""),
    ("auth.change_group", ""),
    ("mfa.view_authenticator", "auditor operator"),
    ("mfa.delete_authenticator", ""),
    ("socialaccount.view_socialapp", ""),
    ("django_celery_beat.view_periodictask", "auditor operator"),
    ("django_celery_beat.change_periodictask", ""),
]


@pytest.fixture
def hand(db: None) -> User:
    return make_staff("hand", is_superuser=False)


def edit(client: Client, user: User, **typed: Any) -> HttpResponse:
    """Open the user's page, type these, and save."""
    url = url_of(User, "change", user.pk)
    data = data_of(client.get(url)) | typed
    return client.post(
        url, {name: value for name, value in data.items() if value or name == "role"}
    )


@pytest.mark.parametrize(("permission", "holders"), HELD, ids=[row[0] for row in HELD])
def test_a_role_holds_what_the_table_says(permission: str, holders: str, db: None) -> None:
    app, _, codename = permission.partition(".")
    assert Permission.objects.filter(content_type__app_label=app, codename=codename).exists()
    for role in Role:
        may = role is Role.SUPERUSER or role.name.lower() in holders.split()
        assert make_member_of_staff(role).has_perm(permission) is may, role


def test_roles_are_mended_by_every_migration(db: None) -> None:
    group = Group.objects.get(name=Role.AUDITOR)
    before = set(group.permissions.all())
    group.permissions.set(Permission.objects.filter(codename="change_alias"))
    call_command("migrate", verbosity=0)
    assert set(group.permissions.all()) == before
    assert before


def test_a_dry_run_of_migrations_changes_no_role(db: None) -> None:
    Group.objects.get(name=Role.AUDITOR).permissions.clear()
    call_command("migrate", plan=True, verbosity=0)
    assert not Group.objects.get(name=Role.AUDITOR).permissions.exists()


@pytest.mark.parametrize("role", Role)
def test_a_superuser_gives_a_role(client: Client, hand: User, role: Role) -> None:
    assert edit(client, hand, role=role.value, change_reason="joined").status_code == 302
    hand.refresh_from_db()
    assert (role_of(hand), hand.is_staff) == (role, True)
    assert form_of(client.get(url_of(User, "change", hand.pk))).initial["role"] == role


def test_taking_the_role_closes_the_panel(client: Client, hand: User) -> None:
    give_role(hand, Role.OPERATOR, actor=ADMIN)
    edit(client, hand, role="")
    hand.refresh_from_db()
    assert (role_of(hand), hand.is_staff) == (None, False)


def test_groups_of_ones_own_outlive_a_change_of_role(client: Client, hand: User) -> None:
    own = Group.objects.create(name="Night shift")
    edit(client, hand, role=Role.AUDITOR.value, groups=own.pk)
    assert set(hand.groups.values_list("name", flat=True)) == {"Night shift", Role.AUDITOR}
    edit(client, hand, role="", groups=own.pk)
    hand.refresh_from_db()
    assert (role_of(hand), hand.is_staff) == (None, True)


def test_an_edit_of_something_else_leaves_the_role_alone(client: Client, hand: User) -> None:
    give_role(hand, Role.OPERATOR, actor=ADMIN)
    events = AccountGroup.pgh_event_model.objects.count()
    edit(client, hand, email="hand@staff.example")
    hand = User.objects.get(pk=hand.pk)
    assert (role_of(hand), hand.email) == (Role.OPERATOR, "hand@staff.example")
    assert AccountGroup.pgh_event_model.objects.count() == events


def test_who_gave_which_role_stands_in_the_history(client: Client, hand: User) -> None:
    edit(client, hand, role=Role.AUDITOR.value, change_reason="the audit")
    edit(client, hand, role=Role.SUPERUSER.value)
    page = client.get(url_of(User, "history", hand.pk)).content.decode()
    assert "membership of group Auditors created" in page
    assert "membership of group Auditors deleted" in page
    assert "superuser status" in page
    assert "“the audit”" in page
    assert "<strong>ops</strong>" in page


def test_a_role_given_behind_the_panels_back_is_marked(client: Client, hand: User) -> None:
    User.objects.filter(pk=hand.pk).update(is_superuser=True)
    page = client.get(url_of(User, "history", hand.pk)).content.decode()
    assert "outside the panel" in page


@pytest.mark.parametrize(
    "typed", [{"role": Role.AUDITOR.value}, {"role": ""}, {"is_active": None}], ids=str
)
def test_nobody_locks_himself_out(client: Client, ops: User, typed: dict) -> None:
    response = edit(client, ops, **typed)
    assert response.status_code == 200
    assert form_of(response).errors.keys() == typed.keys()
    ops.refresh_from_db()
    assert ops.is_superuser
    assert ops.is_active


def test_nobody_deletes_himself(client: Client, ops: User, hand: User) -> None:
    assert client.post(url_of(User, "delete", ops.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [ops.pk, hand.pk], "post": "yes"}
    client.post(url_of(User, "changelist"), chosen)
    assert User.objects.filter(pk=ops.pk).exists()
    assert client.post(url_of(User, "delete", hand.pk), {"post": "yes"}).status_code == 302


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
def test_only_superusers_edit_users_whatever_else_allows_it(hand: User, role: Role) -> None:
    member = make_member_of_staff(role)
    member.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    client = client_of(User.objects.get(pk=member.pk))
    page = client.get(url_of(User, "change", hand.pk))
    assert page.status_code == 200
    assert "argon2" not in page.content.decode()
    assert "pbkdf2" not in page.content.decode()
    posts = [
        (url_of(User, "change", member.pk), {"username": "x", "role": Role.SUPERUSER.value}),
        (url_of(User, "add"), {"username": "x"}),
        (url_of(User, "password_change", hand.pk), {}),
        (url_of(Group, "add"), {"name": "x"}),
    ]
    for url, data in posts:
        assert client.post(url, data).status_code == 403, url
    assert role_of(User.objects.get(pk=member.pk)) is role


def test_the_groups_behind_roles_can_be_neither_edited_nor_deleted(client: Client) -> None:
    establish_roles()
    group = Group.objects.get(name=Role.OPERATOR)
    assert client.post(url_of(Group, "change", group.pk), {"name": "x"}).status_code == 403
    assert client.post(url_of(Group, "delete", group.pk), {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
    client.post(url_of(Group, "changelist"), data)
    assert Group.objects.filter(name=Role.OPERATOR).exists()


def test_the_list_of_users_tells_roles(client: Client, hand: User) -> None:
    give_role(hand, Role.AUDITOR, actor=ADMIN)
    page = client.get(url_of(User, "changelist")).content.decode()
    assert "auditor" in page
    assert "superuser" in page
