"""What the processes that answer mail servers share: their probes, and being told to stop."""

import asyncio
import signal

from django.core.management.base import CommandError

from gateway.directory import read_facts
from gateway.routing.facts import LookupFailed
from mailrouting import probes


def answer_probes(port: int, *, setting: str) -> None:
    """Answer probes in the background; ready is who can read routing data.

    Raises CommandError, naming the setting that chooses another port.
    """
    try:
        probes.serve(port, _missing)
    except OSError as error:
        raise CommandError(
            f"Cannot answer probes on port {port} ({error.strerror}): "
            f"choose another with {setting}."
        ) from error


def stop_signal() -> asyncio.Event:
    """Is set by SIGTERM or SIGINT to the process of the running event loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _missing() -> list[str]:
    """What keeps the process from answering: empty when it is ready."""
    try:
        read_facts([])
    except LookupFailed:
        return ["database"]
    return []
