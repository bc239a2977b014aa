"""How far a long command has come, and how long it will still take, on one line of the terminal."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

WIDTH = 30
EVERY_SECONDS = 0.5
ELSEWHERE_SECONDS = 10.0  # where each line stays, as in a log


@dataclass(slots=True)
class Bar:
    """Counts work in units of the command's own; `total` is all of it."""

    total: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    _began: float = 0.0
    _shown: float = float("-inf")

    def __post_init__(self) -> None:
        self._began = self.clock()

    def advance(self, units: int, text: str) -> None:
        """So much more is done; `text` says what is being worked on."""
        self.done += units
        pause = EVERY_SECONDS if self.out.isatty() else ELSEWHERE_SECONDS
        if self.clock() - self._shown >= pause or self.done >= self.total:
            self._shown = self.clock()
            self._show(text)

    def end(self) -> None:
        if self.out.isatty():
            print(file=self.out)

    def line(self, text: str) -> str:
        """The bar as it stands: share, rows, time spent, time left."""
        share = min(self.done / self.total, 1.0) if self.total else 1.0
        full = int(WIDTH * share)
        spent = self.clock() - self._began
        left = f", {_print(spent / share - spent)} left" if 0 < share < 1 else ""
        drawn = f"[{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}"
        return f"{drawn}  {self.done:,} of {self.total:,}, {_print(spent)}{left}  {text}"

    def _show(self, text: str) -> None:
        start, end = ("\r\x1b[K", "") if self.out.isatty() else ("", "\n")
        print(f"{start}{self.line(text)}", end=end, file=self.out, flush=True)


def _print(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
