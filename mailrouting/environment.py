"""Settings from the environment, with one sentence for a value that cannot be read."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

SCHEMES = ("postgresql://", "postgres://")


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
