"""Settings from the environment, with one sentence for a value that cannot be read."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured


class Env(environ.Env):  # type: ignore[misc]
    """django-environ, naming the variable and its value where that has a wrong form."""

    def get_value(self, var: str, *arguments: Any, **options: Any) -> Any:
        try:
            return super().get_value(var, *arguments, **options)
        except ValueError:
            typed = self.ENVIRON.get(var, "")
            raise ImproperlyConfigured(
                f"The setting {var} cannot be {typed!r}: see .env.example for its form."
            ) from None
