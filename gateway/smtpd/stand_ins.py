"""What aiosmtpd is handed in place of its own parts, where every session would have a copy."""

from collections.abc import Callable
from typing import Any


class Verbs:
    """A table of commands that asks the session, whose class has them already."""

    __slots__ = ("get",)

    def __init__(self, command_of: Callable[[str], Any]) -> None:
        self.get = command_of


class NoTimer:
    """A timer that can be cancelled: the watch has the clock (deadlines.py)."""

    @staticmethod
    def cancel() -> None: ...
