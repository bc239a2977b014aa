"""The whole product as processes: what `manage.py up` starts, each of them in a test's hand.

Same commands, same order, same leashes as `up`, on a PostgreSQL and a broker folder of its own; but
one process can be killed, stopped or added while the others run. Nothing outlives the tests.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailrouting import certificate, postgres
from mailrouting.children import Child, hold, start
from mailrouting.embedded import REPOSITORY
from mailrouting.management.commands.up import (
    Addresses,
    configured_addresses,
    services,
    with_free_ports,
)
from mailrouting.supervisor import Listener, Service, ask, choose_free, python
from tests.waiting import wait_until

SECOND = "gateway 2"
HOSTNAME = "mx.routing.example"
BOUNCE_DOMAIN = f"bounce.{HOSTNAME}"
READY_SECONDS = 40
QUICK = {
    "EXPIRE_SECONDS": "1",
    "SWEEP_SECONDS": "1",
    "RETRY_FIRST_SECONDS": "1",
    "TRAFFIC_SECONDS": "2",
    "ALARM_SECONDS": "2",
    "ALARM_TELL_SECONDS": "1",
    "LOG_LEVEL": "INFO",
}


@dataclass
class Stack:
    """PostgreSQL, web, gateway, worker and beat on free ports.

    `smarthost_port` is where forwards go: a test listens there, else they wait. `password` is the
    one that was printed for the user admin.
    """

    root: Path
    lock: int
    dns_resolvers: list[str]
    dns_port: int
    broker_url: str = "filesystem://localhost"
    settings: dict[str, str] = field(default_factory=dict)
    addresses: Addresses = field(default_factory=lambda: with_free_ports(configured_addresses()))
    smarthost_port: int = field(default_factory=lambda: choose_free(["127.0.0.1"])[0])
    password: str = ""
    database_url: str = ""
    _children: dict[str, Child] = field(default_factory=dict)
    _services: dict[str, Service] = field(default_factory=dict)
    _has_database: bool = False
    _server: postgres.Server | None = None
    _database: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self._services = {service.name: service for service in services(self.addresses)}

    # --- the whole ------------------------------------------------------------

    def start(self) -> None:
        """Start everything and return once each process is ready for work."""
        self.start_database()
        self.password = self._bootstrap()
        self.run(*self._services)

    def stop(self) -> None:
        """Stop everything; unlike `up` all processes at once, since nobody waits for their mail."""
        for child in self._children.values():
            child.life.close()
        for child in self._children.values():
            child.stop()
        self._database.close()

    def run(self, *names: str) -> None:
        """Start these processes and wait until they answer that they are ready."""
        for name in names:
            service = self._services[name]
            self._children[name] = start(
                service.command,
                name=name,
                log=self.root / "log" / f"{name}.log",
                environment=self.environment,
                lock=self.lock,
            )
        for name in names:
            self.wait_until_ready(name)

    def wait_until_ready(self, name: str) -> None:
        child = self._children[name]
        wait_until(lambda: child.has_ended() or self.is_ready(name), seconds=READY_SECONDS)
        assert not child.has_ended(), "\n".join([f"{name} ended:", *child.last_lines()])

    def mend(self) -> None:
        """Bring back what a test took away."""
        self.start_database()
        self.run(*(name for name in self._services if not self.is_alive(name)))

    @contextmanager
    def second_gateway(self) -> Iterator[int]:
        """One more gateway on the same database; yields its port."""
        host = "127.0.0.1"
        port, probe = choose_free([host, host])
        words = ("--port", str(port), "--probe-port", str(probe))
        command = python("manage.py", "gateway", *words)
        self._services[SECOND] = Service(SECOND, command, Listener("", host, probe))
        self.run(SECOND)
        try:
            yield port
        finally:
            self._children.pop(SECOND).stop()
            del self._services[SECOND]

    # --- one process ----------------------------------------------------------

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to what holds its leash."""
        child = self._children[name]
        running = children_of(child.leash.pid)
        assert running, "\n".join([f"{name} had ended by itself:", *child.last_lines()])
        [pid] = running
        os.kill(pid, number)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(name, signal.SIGKILL)
        assert self.wait_for_end(name) == 128 + signal.SIGKILL

    def wait_for_end(self, name: str) -> int:
        """The exit status of a process that was told to end."""
        child = self._children[name]
        assert child.has_ended(within_seconds=READY_SECONDS)
        return child.wait()

    def is_ready(self, name: str) -> bool:
        return ask(self._services[name]) is None

    def is_alive(self, name: str) -> bool:
        return not self._children[name].has_ended()

    def log(self, name: str) -> str:
        return (self.root / "log" / f"{name}.log").read_text(errors="replace")

    # --- what they share --------------------------------------------------------

    def start_database(self) -> None:
        """Start PostgreSQL unless it runs."""
        if self._has_database:
            return
        self._server = self._database.enter_context(postgres.running(self.root))
        self.database_url, self._has_database = self._server.url, True

    def stop_database(self) -> None:
        """Stop PostgreSQL as an administrator would: sessions are cut, commits are kept."""
        self._database.close()
        self._has_database = False

    def kill_database(self) -> None:
        """SIGKILL to PostgreSQL's first process; what had been committed has to be there again."""
        assert self._server is not None
        [pid] = children_of(self._server.child.leash.pid)
        os.kill(pid, signal.SIGKILL)
        assert self._server.child.has_ended(within_seconds=READY_SECONDS)
        self.stop_database()

    @property
    def broker(self) -> Path:
        """The folder that is the broker."""
        return self.root / "broker"

    @property
    def panel(self) -> str:
        """The address that a browser opens."""
        return f"http://localhost:{self.addresses.web.port}"

    @property
    def smtp_port(self) -> int:
        return self.addresses.gateway.port

    @property
    def certificate(self) -> Path:
        """The gateway's self-made certificate, made on first use."""
        return self._certificate()[0]

    @property
    def environment(self) -> dict[str, str]:
        public, key = self._certificate()
        return {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            **QUICK,
            **{each.setting: str(each.port) for each in self.addresses.all()},
            "BROKER_URL": self.broker_url,
            "DATA_DIR": str(self.root),
            "DNS_ALLOW_PRIVATE_ADDRESSES": "1",
            "DNS_AUTHORITATIVE_PORT": str(self.dns_port),
            "DNS_RESOLVERS": ",".join(self.dns_resolvers),
            "GATEWAY_HOSTNAME": HOSTNAME,
            "GATEWAY_TLS_CERTIFICATE": str(public),
            "GATEWAY_TLS_KEY": str(key),
            "PANEL_MAIL_URL": f"smtp://127.0.0.1:{self.smarthost_port}",
            "PYTHONUNBUFFERED": "1",
            "SMARTHOST_URL": f"smtp://127.0.0.1:{self.smarthost_port}?tls=none",
            **self.settings,
        }

    def _certificate(self) -> tuple[Path, Path]:
        folder = self.root / "tls"
        return certificate.ensure(folder, hostname=HOSTNAME, now=datetime.now(UTC))

    def _bootstrap(self) -> str:
        done = subprocess.run(
            python("manage.py", "bootstrap"),
            check=False,
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("password ")[2].split()[0]


def children_of(pid: int) -> list[int]:
    """The processes that this one started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


@contextmanager
def running(
    root: Path, *, dns_resolvers: list[str], dns_port: int, **options: Any
) -> Iterator[Stack]:
    """A stack that keeps its data in `root` and runs inside `with`."""
    with hold(root, "up") as lock:
        stack = Stack(root, lock, dns_resolvers, dns_port, **options)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()
