"""What allauth keeps of secrets, sealed by ENCRYPTION_KEYS as webhooks' addresses are.

An app's key, the seed of recovery codes and the secret of a provider to sign in with. A passkey
holds none. What stood in the clear stays readable, and is sealed by the next `manage.py reseal`.
"""

from collections.abc import Mapping
from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from tenants import sealing
from tenants.sealing import Tally, UnopenedError

SECRETS = ("secret", "seed", "migrated_codes")  # in a factor's data; the last is a list
UNOPENED_FACTOR = (
    "Your second factor is sealed by a key that is not in ENCRYPTION_KEYS. Whoever runs the server "
    "puts the key back, or a superuser deletes your factor (Second factors) to let you start over."
)


class SealedFactors(DefaultMFAAdapter):
    """Seals what apps and recovery codes are made from."""

    def encrypt(self, text: str) -> str:
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ValidationError, which the form that asks for a code shows."""
        try:
            return _opened(encrypted_text)
        except UnopenedError as error:
            raise ValidationError(UNOPENED_FACTOR) from error


class SealedApps(DefaultSocialAccountAdapter):
    """Opens the secrets of providers for whoever signs in through one; not to be saved again."""

    def list_apps(self, *args: Any, **kwargs: Any) -> list[SocialApp]:
        """As allauth lists them. Raises UnopenedError where the key of one is gone."""
        apps: list[SocialApp] = super().list_apps(*args, **kwargs)
        for app in apps:
            app.secret = _opened(app.secret)
        return apps


def seal(text: str) -> str:
    """The secret as it is stored."""
    return sealing.seal(text, settings.ENCRYPTION_KEYS)


def reseal_factors() -> Tally:
    """Seal every app's key and seed of recovery codes anew; nobody uses a code meanwhile."""
    with transaction.atomic():
        holding = Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN)
        return Tally.total(map(_reseal_factor, holding.select_for_update()))


def reseal_apps() -> Tally:
    """As reseal_factors, for the secrets of providers."""
    with transaction.atomic():
        holding = SocialApp.objects.exclude(secret="").select_for_update()
        return Tally.total(map(_reseal_app, holding))


def _reseal_factor(factor: Authenticator) -> Tally:
    resealed = _resealed(factor.data)
    Authenticator.objects.filter(pk=factor.pk).update(data=resealed)
    pairs = [(factor.data[name], resealed[name]) for name in SECRETS if factor.data.get(name)]
    return Tally(left=1) if any(old == new for old, new in pairs) else Tally(sealed=1)


def _reseal_app(app: SocialApp) -> Tally:
    resealed = _anew(app.secret)
    SocialApp.objects.filter(pk=app.pk).update(secret=resealed)
    return Tally.of(app.secret, resealed)


def _resealed(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _anew(value) if name in SECRETS else value for name, value in data.items()}


def _anew(value: Any) -> Any:
    if isinstance(value, list):
        return [_anew(each) for each in value]
    return sealing.reseal(value, settings.ENCRYPTION_KEYS)


def _opened(stored: str) -> str:
    is_sealed = sealing.is_sealed(stored)
    return sealing.unseal(stored, settings.ENCRYPTION_KEYS) if is_sealed else stored
