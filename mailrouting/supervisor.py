"""Starts the processes of the try-out in order, watches them, stops them in reverse.

It knows commands, ports and probes, and nothing of mail or Django: the command `up`
tells it what to run. Its children are leashed, so it may die in any way.
"""

import errno
import http.client
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from mailrouting.children import Child, StartError, start

READY_SECONDS = 90
# Systems take ports for outgoing connections from 32768 (Linux) or 49152 (RFC 6335) on.
QUIET_PORTS = range(20_000, 32_768)
QUIET_TRIES = 20
PROBE_PAUSE_SECONDS = 0.05
PROBE_TIMEOUT_SECONDS = 5


class Interrupted(BaseException):
    """Somebody asked us to stop, by Ctrl-C or a signal."""


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that a service will bind, and the setting that moves it."""

    setting: str
    host: str
    port: int

    @property
    def reachable_host(self) -> str:
        """Where we can reach it ourselves: a wildcard means loopback."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104

    def __str__(self) -> str:
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Service:
    """A process to run, and the listener that answers /readyz for it."""

    name: str
    command: tuple[str, ...]
    probe: Listener
    host_header: str = "localhost"


@dataclass(slots=True)
class Supervisor:
    """The running children; leaving its `with` stops them, the last one first."""

    logs: Path
    environment: Mapping[str, str]
    lock: int
    _children: list[Child] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def watch(self, child: Child) -> None:
        """Notice when this child ends, which somebody else stops."""
        self._children.append(child)

    def start(self, service: Service) -> None:
        """Start a service; it is not ready yet."""
        log = self.logs / f"{service.name}.log"
        child = start(
            service.command,
            name=service.name,
            log=log,
            environment=self.environment,
            lock=self.lock,
        )
        self._stack.callback(child.stop)
        self.watch(child)

    def wait_until_ready(self, services: Sequence[Service]) -> None:
        """Return once every service answers /readyz with 200."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = dict.fromkeys(services, "no answer")
        while waiting:
            if time.monotonic() > deadline:
                missing = "; ".join(f"{each.name}: {why}" for each, why in waiting.items())
                raise StartError(f"Not ready after {READY_SECONDS} s: {missing}. See {self.logs}.")
            answers = {service: ask(service) for service in waiting}
            waiting = {service: why for service, why in answers.items() if why is not None}
            if waiting:
                self.check(within_seconds=PROBE_PAUSE_SECONDS)

    def check(self, *, within_seconds: float | None) -> None:
        """Wait this long, or without end for None, and fail if a child ends meanwhile."""
        ended, _, _ = select.select(self._children, [], [], within_seconds)
        for child in ended:
            raise StartError(_obituary(child))

    def run(self, command: Sequence[str]) -> int:
        """Run a command on our terminal to its end and return its exit status."""
        child = start(command, name="command", environment=self.environment, lock=self.lock)
        self._stack.callback(child.stop)
        ended, _, _ = select.select([*self._children, child], [], [])
        if child not in ended:
            raise StartError(_obituary(ended[0]))
        return child.wait()


def _obituary(child: Child) -> str:
    return "\n  ".join(
        [
            f"{child.name} ended with status {child.wait()}; the end of {child.log}:",
            *child.last_lines(),
        ]
    )


def ask(service: Service) -> str | None:
    """None when the service is ready, else what it answered."""
    probe = service.probe
    connection = http.client.HTTPConnection(
        probe.reachable_host, probe.port, timeout=PROBE_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", "/readyz", headers={"Host": service.host_header})
        answer = connection.getresponse()
        text = answer.read(500).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({error})"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"{answer.status} {text}"


def require_free(listeners: Sequence[Listener]) -> None:
    """Fail with one sentence if an address cannot be bound, two of ours alike included."""
    with ExitStack() as bound:
        for listener in listeners:
            try:
                bound.enter_context(_bind(listener.host, listener.port))
            except OSError as error:
                raise StartError(
                    f"{listener} cannot be used ({error.strerror}): set {listener.setting} to "
                    "another port, or let `up --free-ports` choose."
                ) from None


def choose_free(hosts: Sequence[str]) -> list[int]:
    """One free port for each host, all different."""
    with ExitStack() as bound:
        sockets = [bound.enter_context(_bind_any(host)) for host in hosts]
        return [each.getsockname()[1] for each in sockets]


def _bind_any(host: str) -> socket.socket:
    """A socket on a free port below those that outgoing connections take meanwhile."""
    # Not the seeded generator: two test processes of one seed would choose the same ports.
    for port in random.SystemRandom().sample(QUIET_PORTS, QUIET_TRIES):
        with suppress(OSError):
            return _bind(host, port)
    return _bind(host, 0)


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # As servers do: a port in TIME_WAIT may be taken, one that listens may not.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(1)
    except OSError as error:
        bound.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise StartError(
                f"{host} is no address of this machine: change the setting that names it "
                "(WEB_HOST, GATEWAY_HOST or PROBE_HOST)."
            ) from None
        raise
    return bound


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into `Interrupted` and ignore further ones."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def python(*words: str) -> tuple[str, ...]:
    """A command line of this very interpreter."""
    return (sys.executable, *words)
