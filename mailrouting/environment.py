"""Settings from the environment, with one sentence for a value that cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from gateway.routing.address import parse_domain

SCHEMES = ("postgresql://", "postgres://")


def require(var: str, value: str, check: Callable[[str], object]) -> None:
    """Raises ImproperlyConfigured with the sentence of a check that refuses a setting's value."""
    try:
        check(value)
    except ValueError as error:
        sentence = str(error)
        told = sentence if var in sentence else f"The setting {var} cannot be used: {sentence}."
        raise ImproperlyConfigured(told) from None


def endpoint(text: str) -> None:
    """Read as the DNS resolver will, which is imported only where there is something to read."""
    from tenants.dns.resolver import parse_endpoint

    parse_endpoint(text)


def dkim_keys(text: str) -> None:
    """Read as the DNS checks will, which are imported only where there is something to read."""
    if text:
        from tenants.dns.keys import parse_keys

        parse_keys(text)


def folder(text: str) -> None:
    """A folder that files can be made in; empty is the system's choice."""
    if text and not os.access(text, os.W_OK | os.X_OK):
        raise ValueError(f"{text!r} is not a folder that this account may write to")


def watched_folder(text: str) -> None:
    """A folder whose disk is asked for its room. Raises ValueError."""
    if not Path(text).is_dir():
        raise ValueError(f"{text!r} is not a folder that this account can see")


def postfix_place(text: str) -> None:
    """Read as shadow mode will, which is imported only where there is something to read."""
    from tenants.moving_in.live import parse_place

    parse_place(text)


def filter_url(text: str) -> None:
    """An HTTP address without a path, which is the protocol's. Raises ValueError."""
    if not text:
        return
    parts = urlsplit(text)
    is_address = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    if not is_address or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError("it has to have the form http://host:port")


def mail_server(text: str) -> None:
    """An SMTP server as the smarthost's setting names one. Raises ValueError."""
    from gateway import smarthost

    try:
        smarthost.parse(text)
    except ValueError:
        raise ValueError("it has to have the form smtp://user:password@host:port") from None


def webhook_secret(text: str) -> None:
    """A secret as Standard Webhooks writes it. Raises ValueError, which does not repeat it."""
    if text:
        from gateway.watch.webhook import parse_secret

        parse_secret(text)


def header_value(text: str) -> None:
    """What may stand in a header field of HTTP. Raises ValueError, which does not repeat it."""
    if not text.isascii() or (text and not text.isprintable()):
        raise ValueError("it has to be printable ASCII")


class Env(environ.Env):
    """django-environ, naming the variable and its value where that has a wrong form."""

    def get_value(self, var: str, *arguments: Any, **options: Any) -> Any:
        try:
            return super().get_value(var, *arguments, **options)
        except ValueError:
            typed = self.ENVIRON.get(var, "")
            raise ImproperlyConfigured(
                f"The setting {var} cannot be {typed!r}: see .env.example for its form."
            ) from None

    def number(
        self, var: str, *, default: int, least: int = 1, most: int | None = None, why: str = ""
    ) -> int:
        """A whole number from `least` to `most`; `why` says what these limits are for."""
        value = self.int(var, default=default)
        if value < least or (most is not None and value > most):
            limits = f"{least} or more" if most is None else f"from {least} to {most}"
            told = f"{limits}, {why}" if why else limits
            raise ImproperlyConfigured(f"The setting {var} is {value}: it has to be {told}.")
        return int(value)

    def port(self, var: str, *, default: int) -> int:
        return self.number(var, default=default, most=65535)

    def choice(self, var: str, *, default: str, among: tuple[str, ...]) -> str:
        """One of a few words."""
        value = str(self.str(var, default=default))
        if value.upper() not in map(str.upper, among):
            raise ImproperlyConfigured(
                f"The setting {var} is {value!r}: it has to be one of {', '.join(among)}."
            )
        return value

    def words(self, var: str, *, default: list[str], check: Callable[[str], object]) -> list[str]:
        """A list of which `check` takes each word, and raises ValueError where it does not."""
        found = [str(word) for word in self.list(var, default=default)]
        for word in found:
            require(var, word, check)
        return found

    def named(self, var: str, *, check: Callable[[str], object]) -> dict[str, str]:
        """What is named, by name, from a list of `name=what` of which `check` takes each."""
        pairs = (word.partition("=") for word in self.words(var, default=[], check=check))
        return {name.strip(): what.strip() for name, _, what in pairs}

    def text(self, var: str, *, default: str, check: Callable[[str], object]) -> str:
        """A text that `check` takes."""
        value = str(self.str(var, default=default))
        require(var, value, check)
        return value

    def domain(self, var: str, *, default: str) -> str:
        """A domain as addresses carry it, a lower-case A-label, however it is typed."""
        return parse_domain(self.text(var, default=default, check=parse_domain))

    def db_url(self, var: str, default: str) -> dict[str, Any]:
        """The database that a URL names; the URL holds a password and is not repeated."""
        url = self.get_value(var, default=default) or default
        try:
            if url.startswith(SCHEMES):
                return dict(self.db_url_config(url))
        except ValueError:  # a port that is no number
            pass
        raise ImproperlyConfigured(
            f"The setting {var} must have the form postgresql://user:password@host/database."
        )
