"""What signing in keeps of secrets stands sealed, through every change of keys."""

from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.totp.internal.auth import yield_hotp_counters_from_time as counters
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from tests.pages import url_of
from tests.staff import add_second_factor, client_of, make_staff

PASSWORD = "correct horse battery"


@pytest.fixture
def user(db: None, settings: Settings) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return make_staff(password=PASSWORD)


def stored() -> str:
    """Everything that the database holds of second factors."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(data::text, ' ') FROM mfa_authenticator")
        return str(cursor.fetchone()[0])


def code_of(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, next(counters()))))


def sign_in(code: str) -> str:
    """Where a sign-in with this code leads; else what its page says."""
    client = Client()
    asked = client.post("/accounts/login/?next=/admin/", {"login": "ops", "password": PASSWORD})
    answer = client.post(asked["Location"], {"code": code})
    return answer.get("Location") or answer.content.decode()


def reseal() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("reseal", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def in_the_clear(user: User, secret: str) -> list[str]:
    """Factors as they stood before any was sealed; the recovery codes come back."""
    seed = RecoveryCodes.generate_seed()
    codes: dict[str, Any] = {"seed": seed, "used_mask": 0}
    for kind, data in (("totp", {"secret": secret}), ("recovery_codes", codes)):
        Authenticator.objects.create(user=user, type=kind, data=data)
    return RecoveryCodes.activate(user).generate_codes()


def test_a_factor_stands_sealed_and_signs_in(user: User) -> None:
    secret = generate_totp_secret()
    add_second_factor(user, secret=secret)
    assert secret not in stored()
    assert stored().count("sealed:") == 2
    assert sign_in(code_of(secret)) == "/admin/"
    assert sign_in(RecoveryCodes.activate(user).get_unused_codes()[0]) == "/admin/"


def test_a_factor_from_before_signs_in_and_is_sealed_by_reseal(user: User) -> None:
    codes = in_the_clear(user, secret := generate_totp_secret())
    assert sign_in(codes[0]) == "/admin/"
    out, err = reseal()
    assert "Second factors: 2 sealed by the newest key." in out
    assert (err, secret in stored(), stored().count("sealed:")) == ("", False, 2)
    assert RecoveryCodes.activate(user).get_unused_codes() == codes[1:]
    assert sign_in(code_of(secret)) == "/admin/"


def test_codes_that_came_from_elsewhere_are_sealed_one_by_one(user: User) -> None:
    data = {"migrated_codes": ["11111111", "22222222"]}
    Authenticator.objects.create(user=user, type="recovery_codes", data=data)
    reseal()
    assert "11111111" not in stored()
    assert RecoveryCodes.activate(user).get_unused_codes() == data["migrated_codes"]


def test_keys_change_without_a_factor_lost(user: User, settings: Settings) -> None:
    add_second_factor(user, secret=(secret := generate_totp_secret()))
    codes = RecoveryCodes.activate(user).generate_codes()
    settings.ENCRYPTION_KEYS = ["new", *settings.ENCRYPTION_KEYS]
    reseal()
    settings.ENCRYPTION_KEYS = ["new"]
    assert RecoveryCodes.activate(user).generate_codes() == codes
    assert sign_in(code_of(secret)) == "/admin/"


def test_a_factor_whose_key_is_gone_says_so_and_stays(user: User, settings: Settings) -> None:
    add_second_factor(user, secret=(secret := generate_totp_secret()))
    settings.ENCRYPTION_KEYS = ["another"]
    before = stored()
    assert "a key that is not in ENCRYPTION_KEYS" in sign_in(code_of(secret))
    out, err = reseal()
    assert "Second factors: 0 sealed" in out
    assert "Second factors: 2 left as they are" in err
    assert stored() == before


def test_a_passkey_stays_as_it_is(user: User) -> None:
    credential = {"credential": {"id": "public"}, "name": "Key"}
    Authenticator.objects.create(user=user, type="webauthn", data=credential)
    reseal()
    assert Authenticator.objects.get().data == credential


# --- providers to sign in with -------------------------------------------------

PROVIDER = {
    "provider": "openid_connect",
    "provider_id": "staff",
    "name": "Staff",
    "client_id": "panel",
    "key": "",
    "settings": "{}",
}


def secret_of_provider() -> str:
    [app] = get_adapter().list_apps(None, provider="openid_connect")
    return str(app.secret)


def test_a_provider_s_secret_stands_sealed_and_is_shown_to_nobody(db: None) -> None:
    client = client_of(make_staff())
    client.post(url_of(SocialApp, "add"), PROVIDER | {"secret": "client-s3cret"})
    app = SocialApp.objects.get()
    assert app.secret.startswith("sealed:")
    assert secret_of_provider() == "client-s3cret"
    page = client.get(url_of(SocialApp, "change", app.pk)).content.decode()
    assert "s3cret" not in page
    assert app.secret not in page
    client.post(url_of(SocialApp, "change", app.pk), PROVIDER | {"name": "All", "secret": ""})
    app.refresh_from_db()
    assert (app.name, secret_of_provider()) == ("All", "client-s3cret")


@pytest.mark.parametrize(("length", "is_taken"), [(79, True), (80, False)])
def test_a_provider_s_secret_fits_or_says_how_long_it_may_be(
    db: None, length: int, is_taken: bool
) -> None:
    values: dict[str, Any] = PROVIDER | {"secret": "x" * length}
    answer = client_of(make_staff()).post(url_of(SocialApp, "add"), values)
    assert SocialApp.objects.exists() is is_taken
    assert is_taken or "at most 79" in answer.content.decode()


def test_a_provider_s_secret_from_before_works_and_is_sealed_by_reseal(db: None) -> None:
    SocialApp.objects.create(provider="openid_connect", name="Staff", secret="open")
    assert secret_of_provider() == "open"
    assert "Secrets of sign-in providers: 1 sealed" in reseal()[0]
    assert SocialApp.objects.get().secret.startswith("sealed:")
    assert secret_of_provider() == "open"
