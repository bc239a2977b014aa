"""Waiting for a condition with a deadline, since no test may sleep and hope."""

import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_SECONDS = 20


def wait_until(condition: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return once `condition` holds; fail the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether there is such a process, a zombie not counted."""
    fields = told_of(pid)
    return bool(fields) and fields[0] != "Z"


def told_of(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on; nothing once it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return stat.rpartition(")")[2].split()
