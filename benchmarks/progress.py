"""One line on the terminal that says what is being done; one line each step elsewhere."""

import sys
import time


class Progress:
    """Counts the steps of a benchmark on standard error."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._since = time.monotonic()

    def say(self, text: str) -> None:
        spent = time.monotonic() - self._since
        start, end = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")
        line = f"{start}[{self._done}/{self._steps}, {spent:.0f} s] {text}"
        print(line, end=end, file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        self._done += 1
        self.say(text)

    def end(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)
