"""Members of staff for tests of pages: signed in, with or without their second factor."""

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from mailrouting.staff import establish_roles, give_role
from tenants.changes import Actor
from tenants.roles import Role


def make_staff(
    username: str = "ops", *, is_superuser: bool = True, password: str | None = None
) -> User:
    """A member of staff; without a password, since hashing one takes longer than a test."""
    return User.objects.create_user(
        username,
        f"{username}@staff.example",
        password,
        is_staff=True,
        is_superuser=is_superuser,
    )


def make_member_of_staff(role: Role) -> User:
    """A member of staff who holds the role, named after it."""
    establish_roles()  # tests that empty the whole database take the groups with them
    user = make_staff(role.lower(), is_superuser=False)
    give_role(user, role, actor=Actor.system("test"))
    return User.objects.get(pk=user.pk)


def add_second_factor(user: User, *, secret: str = "") -> Authenticator:
    """An authenticator app, and recovery codes as allauth hands them out with it."""
    factor: Authenticator = TOTP.activate(user, secret or generate_totp_secret()).instance
    RecoveryCodes.activate(user)
    return factor


def client_of(user: User, *, has_second_factor: bool = True) -> Client:
    """A browser that the user is signed in with."""
    if has_second_factor:
        add_second_factor(user)
    client = Client()
    client.force_login(user)
    return client


def session_of(user: User) -> str:
    """The key of a session that the user is signed in with, for a browser of another process."""
    return str(client_of(user).cookies[settings.SESSION_COOKIE_NAME].value)
