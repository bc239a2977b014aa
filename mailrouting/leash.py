"""Runs one command for as long as the process that asked for it lives.

`python -m mailrouting.leash FD --signal N --grace S [--account UID:GID] -- COMMAND…`
FD is one end of a socket pair or pipe whose other end only the parent holds: when
it closes, by a wish or by SIGKILL, the command gets its stop signal and, after the
grace time, SIGKILL. The exit status is the command's. Standard library alone, and
few imports: one of these runs beside every child.
"""

import ctypes
import os
import select
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from subprocess import Popen

PR_SET_PDEATHSIG = 1
STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def main(arguments: list[str]) -> int:
    """Run the command below the leash and return its exit status, 128 + n after signal n."""
    options = _parse(arguments)
    signals = _listen_for_signals()
    command = _start(options)
    _hold(command.pid, options, signals)
    return _bury(command)


def _parse(arguments: list[str]) -> Namespace:
    split = arguments.index("--")
    parser = ArgumentParser(prog="leash")
    parser.add_argument("life", type=int)
    parser.add_argument("--signal", type=int, default=signal.SIGTERM)
    parser.add_argument("--grace", type=float, default=10.0)
    parser.add_argument("--account", default="")
    options = parser.parse_args(arguments[:split])
    options.command = arguments[split + 1 :]
    return options


def _listen_for_signals() -> int:
    """A descriptor that yields the number of each signal as an octet."""
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    return wake


def _start(options: Namespace) -> Popen[bytes]:
    """Start the command in a process group of its own, so that all of it can be ended."""

    def follow_to_death() -> None:
        # Second line of defence: SIGKILL of the leash itself. Set after the change of user.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, options.signal)

    uid, gid = map(int, options.account.split(":")) if options.account else (None, None)
    return Popen(
        options.command,
        process_group=0,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        preexec_fn=follow_to_death if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread
    )


def _hold(pid: int, options: Namespace, signals: int) -> None:
    """Return once the command has ended; stop it when the parent is gone or a signal says so."""
    watched = [options.life, signals]
    deadline: float | None = None
    while not _has_ended(pid):
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(watched, [], [], timeout)
        if deadline is not None and time.monotonic() >= deadline:
            os.killpg(pid, signal.SIGKILL)
            deadline = None
        if _is_told_to_stop(readable, options.life, signals) and options.life in watched:
            watched.remove(options.life)
            os.kill(pid, options.signal)
            deadline = time.monotonic() + options.grace


def _is_told_to_stop(readable: list[int], life: int, signals: int) -> bool:
    received = os.read(signals, 64) if signals in readable else b""
    return life in readable or not STOP_SIGNALS.isdisjoint(received)


def _has_ended(pid: int) -> bool:
    # WNOWAIT leaves the zombie, so that its number cannot be given to another process yet.
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None


def _bury(command: Popen[bytes]) -> int:
    """Kill what the command left in its group, then reap it."""
    with suppress(PermissionError):  # macOS, when only the zombie is left
        os.killpg(command.pid, signal.SIGKILL)
    status = command.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
