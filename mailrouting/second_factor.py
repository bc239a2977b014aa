"""Staff use the admin with a second factor only.

One place for every page of it: whatever resolves inside the admin's namespace is held back until
the signed-in member of staff has an app or a key set up. allauth asks for it at sign-in.
"""

from collections.abc import Callable
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

OPEN = ("login", "logout", "jsi18n")


class SecondFactorMiddleware:
    """Leads staff without a second factor to set one up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if not _is_held_back(request):
            return None
        messages.warning(request, "Set up a second factor first: the panel is for staff with one.")
        return redirect("mfa_index")


def _is_held_back(request: HttpRequest) -> bool:
    match, user = request.resolver_match, request.user
    if not settings.STAFF_MFA_REQUIRED or match is None or "admin" not in match.app_names:
        return False
    if match.url_name in OPEN or not (user.is_authenticated and user.is_staff):
        return False
    return not is_mfa_enabled(user, types=FACTORS)


FACTORS = ("totp", "webauthn")
