"""Child processes that never outlive their parent, and locks that say who the parent is.

A child is a command below `mailrouting.leash`, joined to us by a socket pair: when our
end closes the command stops, and when the child's end closes it has ended. Descriptors
handed to the leash stay open exactly as long as the command runs, which makes a
lock on one of them mean "something of it is still alive".
"""

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailrouting.embedded import REPOSITORY

LARGEST_LOG_OCTETS = 8 * 1024 * 1024


class StartError(Exception):
    """One sentence for the operator: what is in the way, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account to run a child under."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Child:
    """A running command; `fileno` is readable once it has ended."""

    name: str
    log: Path | None
    grace_seconds: float
    leash: subprocess.Popen[bytes]
    life: socket.socket

    def fileno(self) -> int:
        return self.life.fileno()

    def has_ended(self, *, within_seconds: float = 0) -> bool:
        """Whether the command has ended, waiting for it at most this long."""
        return bool(select.select([self], [], [], within_seconds)[0])

    def wait(self) -> int:
        """The exit status of the command (128 + n after signal n), once it has ended."""
        status = self.leash.wait()
        self.life.close()
        return status if status >= 0 else 128 - status

    def stop(self) -> int:
        """Stop the command and return its exit status; it is killed after its grace time."""
        self.life.close()
        try:
            self.leash.wait(self.grace_seconds + 5)
        except subprocess.TimeoutExpired:
            self.leash.kill()
        return self.wait()

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of the child's log."""
        if self.log is None:
            return []
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
            return log.read().decode(errors="replace").splitlines()[-count:]


def start(
    command: Sequence[str | Path],
    *,
    name: str,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace_seconds: float = 10,
    lock: int | None = None,
) -> Child:
    """Start `command` below a leash, in a session of its own that no Ctrl-C reaches.

    Without `log` it uses our terminal. `lock` is held until the command has ended.
    """
    ours, theirs = socket.socketpair()
    output = None if log is None else _open_log(log)
    leash = subprocess.Popen(
        [
            *(sys.executable, "-S", "-m", "mailrouting.leash", str(theirs.fileno())),
            *("--signal", str(int(stop_signal)), "--grace", str(grace_seconds)),
            *([] if account is None else ["--account", f"{account.uid}:{account.gid}"]),
            *("--", *map(str, command)),
        ],
        cwd=REPOSITORY,
        env=environment,
        stdin=None if output is None else subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=[theirs.fileno(), *([] if lock is None else [lock])],
    )
    theirs.close()
    if output is not None:
        os.close(output)
    return Child(name, log, grace_seconds, leash, ours)


def _open_log(path: Path) -> int:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG_OCTETS:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


@contextmanager
def hold(folder: Path, name: str, *, wait_seconds: float = 20) -> Iterator[int]:
    """Be the only one who runs `name` in this folder; yields the lock for its children.

    Two locks: the first says that a parent lives, the second that its children do. Those
    of a killed parent are stopping by themselves, so only they are waited for.
    """
    with _opened(folder / f"{name}.lock") as parent, _opened(folder / f"{name}.children") as kin:
        if not _has_locked(parent):
            pid = os.pread(parent, 20, 0).decode() or "unknown"
            raise StartError(
                f"It already runs on {folder} as process {pid}: stop that one first, "
                "or choose another folder with DATA_DIR."
            )
        os.ftruncate(parent, 0)
        os.pwrite(parent, str(os.getpid()).encode(), 0)
        deadline = time.monotonic() + wait_seconds
        while not _has_locked(kin):
            if time.monotonic() > deadline:
                raise StartError(
                    f"Processes of an earlier start still use {folder}: "
                    f"`fuser {folder / name}.children` names them; end them and start again."
                )
            time.sleep(0.02)
        yield kin


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _has_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
