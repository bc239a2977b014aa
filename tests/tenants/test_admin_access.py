"""The admin lets in staff with a second factor, for what their permissions say, and nobody else."""

from typing import Any
from urllib.parse import quote

import pytest
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import get_resolver

from mailrouting import settings as settings_of_project
from tenants.models import Alias
from tenants.roles import Role
from tests import world as make
from tests.pages import registered, url_of
from tests.staff import add_second_factor, client_of, make_member_of_staff, make_staff
from tests.world import World


@pytest.mark.parametrize("who", ["anonymous", "member", "deactivated"])
def test_whoever_is_not_staff_gets_nothing(world: World, who: str) -> None:
    client = Client()
    if who == "member":
        client.force_login(world.owner)
    if who == "deactivated":
        staff = make_staff()
        client.force_login(staff)
        User.objects.filter(pk=staff.pk).update(is_active=False)
    for model in registered():
        response = client.get(url_of(model, "changelist"), follow=True)
        if who == "member":
            assert response.status_code == 403, model
        else:
            assert response.redirect_chain[-1][0].startswith("/accounts/login/"), model


def test_staff_without_a_second_factor_are_led_to_set_one_up(ops: User) -> None:
    client = client_of(ops, has_second_factor=False)
    for url in ("/admin/", url_of(Alias, "changelist"), "/admin/explain/"):
        response = client.get(url)
        assert (response.status_code, response["Location"]) == (302, "/accounts/2fa/")
    assert client.get("/accounts/2fa/").status_code == 200


def test_a_write_without_a_second_factor_changes_nothing(ops: User, world: World) -> None:
    client = client_of(ops, has_second_factor=False)
    alias = make.make_alias(world.domain, "x")
    client.post(url_of(Alias, "delete", alias.pk), {"post": "yes"})
    assert Alias.objects.filter(pk=alias.pk).exists()


def test_the_requirement_can_be_lifted(ops: User, settings: Any) -> None:
    settings.STAFF_MFA_REQUIRED = False
    assert client_of(ops, has_second_factor=False).get("/admin/").status_code == 200


def test_recovery_codes_alone_are_no_second_factor(ops: User) -> None:
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    RecoveryCodes.activate(ops)
    response = client_of(ops, has_second_factor=False).get("/admin/")
    assert response["Location"] == "/accounts/2fa/"


def test_sign_in_asks_for_the_password_and_then_the_code(db: None) -> None:
    client_of(make_staff(password="correct horse battery"))
    client = Client()
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/accounts/login/?next=")
    login = {"login": "ops", "password": "correct horse battery"}
    response = client.post("/accounts/login/", login)
    assert response["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get("/admin/").status_code == 302


ELSEWHERE = [
    *("https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example"),
    *(
        "https:evil.example",
        "javascript:alert(1)",
        "https://localhost@evil.example/",
        "\t//evil.ex",
    ),
]


@pytest.fixture
def cheap_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_sign_in_and_out_lead_nowhere_else(db: None, cheap_passwords: None, place: str) -> None:
    user = make_staff(password="correct horse battery")
    client, login = Client(), {"login": "ops", "password": "correct horse battery", "next": place}
    assert client.post(f"/accounts/login/?next={quote(place)}", login)["Location"] == "/admin/"
    assert client_of(user).post("/accounts/logout/", {"next": place})["Location"] == "/"


def test_sign_in_leads_nowhere_else_after_the_code(db: None, cheap_passwords: None) -> None:
    user = make_staff(password="correct horse battery")
    secret = generate_totp_secret()
    add_second_factor(user, secret=secret)
    client, place = Client(), "https://evil.example/"
    login = {"login": "ops", "password": "correct horse battery", "next": place}
    asked = client.post(f"/accounts/login/?next={quote(place)}", login)["Location"]
    code = format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))
    assert client.post(asked, {"code": code, "next": place})["Location"] == "/admin/"


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host"])
def test_header_that_names_another_host_leads_nowhere(ops: User, header: str) -> None:
    response = Client(headers={header: "evil.example"}).get("/admin/")
    assert (response.status_code == 400) is (header == "Host")
    assert "evil.example" not in response.content.decode() + response.headers.get("Location", "")


def test_nobody_signs_up(db: None) -> None:
    page = Client().get("/accounts/signup/").content.decode()
    assert "No sign-up here" in page


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_nobody_gets_a_link_that_resets_a_password(
    ops: User, settings: Any, mailoutbox: list[Any], host: str
) -> None:
    """Neither by mail nor in the log, and so none to a host that a header named."""
    settings.ALLOWED_HOSTS = ["*"]
    client, page = Client(headers={"Host": host}), "/accounts/password/reset/"
    assert "Ask a superuser" in client.get(page).content.decode()
    assert client.post(page, {"email": ops.email}).status_code == 405
    assert mailoutbox == []


def test_no_page_of_an_account_sends_mail() -> None:
    """Those that are left, by name: a new one is looked at before it stands here."""
    patterns = get_resolver("mailrouting.account_urls").reverse_dict
    names = {name for name in patterns if isinstance(name, str) and name.startswith("account_")}
    assert names == {
        *("account_login", "account_logout", "account_inactive", "account_signup"),
        *("account_reauthenticate", "account_change_password", "account_set_password"),
        "account_reset_password",
    }
    assert settings_of_project.EMAIL_BACKEND.endswith("dummy.EmailBackend")


@pytest.mark.parametrize("url", ["login/", "signup/", "password/change/", "2fa/", "3rdparty/"])
def test_pages_of_an_account_name_no_page_that_is_not_there(ops: User, url: str) -> None:
    for client in (Client(), client_of(ops)):
        answer = client.get(f"/accounts/{url}", follow=True)
        assert answer.status_code == 200
        assert "/email/" not in answer.content.decode()


def test_staff_may_only_do_what_their_permissions_say(world: World) -> None:
    auditor = make_staff("auditor", is_superuser=False)
    client = client_of(auditor)
    alias = make.make_alias(world.domain, "x")
    assert client.get(alias.get_absolute_url()).status_code == 403
    assert client.get(url_of(Alias, "history", alias.pk)).status_code == 404
    check = f"/admin/tenants/domain/{world.domain.pk}/check-now/"
    assert client.post(check).status_code == 403
    assert client.get("/admin/explain/").status_code == 403


def test_a_page_of_another_role_says_so_and_leads_back(db: None) -> None:
    page = client_of(make_member_of_staff(Role.AUDITOR)).get(url_of(Alias, "add"))
    text = page.content.decode()
    assert page.status_code == 403
    for told in ("Your role does not open this page", "auditors", "Nothing was changed", "Panel"):
        assert told in text, told


def test_a_page_that_is_not_there_says_so_and_leads_back(ops: User) -> None:
    page = client_of(ops).get("/admin/nothing/")
    assert page.status_code == 404
    assert "There is nothing here" in page.content.decode()


def test_a_form_without_its_token_says_what_to_do(ops: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ops)
    page = client.post(url_of(Alias, "add"))
    assert page.status_code == 403
    assert "Load the page again" in page.content.decode()


def test_a_failure_of_ours_is_told_without_a_database() -> None:
    assert "It is written down" in render_to_string("500.html")


@pytest.mark.parametrize(
    ("url", "has_eval"),
    [("/admin/", True), ("/accounts/2fa/", False), ("/accounts/password/reset/", False)],
)
def test_only_the_admin_may_evaluate_scripts(client: Client, url: str, has_eval: bool) -> None:
    policy = client.get(url)["Content-Security-Policy"]
    assert ("'unsafe-eval'" in policy) is has_eval
    assert "script-src 'self'" in policy
    script = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe-inline" not in script
