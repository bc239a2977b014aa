"""Our own gateway, as `manage.py gateway` runs it, with its usual settings.

No worker runs, as the peers' mail is held: the figure is "durable in its queue". Further down
stand the gateway with its database far away, two gateways, and one with a worker.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from benchmarks import processes
from benchmarks.database import HOP, Database
from benchmarks.delay import Delay
from benchmarks.name_server import NameServer
from benchmarks.peers import PeerError
from benchmarks.ports import HOST, await_condition, free_port, listeners
from benchmarks.sink import Sink
from mailrouting.children import Child, start

STORED = """
SELECT count(*) FROM gateway_message message
JOIN gateway_body body ON body.id = message.body_id
    AND body.expires_on = message.body_expires_on AND body.number = 0
WHERE EXISTS (SELECT 1 FROM gateway_delivery WHERE message_id = message.id)
"""
CLEAR = (
    "TRUNCATE gateway_body, gateway_message, gateway_routingrecord, gateway_delivery,"
    " gateway_attempt CASCADE"
)
NEWEST = "SELECT id FROM gateway_delivery ORDER BY id DESC LIMIT 1"
# By the order of the ids, so that no waiting row is read.
DELIVERED = "SELECT count(*) FROM gateway_delivery WHERE id > %s AND state = 'delivered'"
MESSAGE = "SELECT octets FROM gateway_body WHERE number = 0 LIMIT 1"
DEMAND = "UPDATE tenants_address SET authentication = %s"
NIL = UUID(int=0)
WORKER = (
    *("-m", "celery", "-A", "mailrouting", "worker", "--pool", "threads", "--concurrency", "12"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
START_SECONDS = 20


class Ours:
    """The gateway of this repository, in so many processes on one port."""

    name = "ours"

    def __init__(self, work: Path, gateway_processes: int = 1) -> None:
        self.port = 0
        self.database: Database | None = None
        self._work = work
        self._gateway_processes = gateway_processes
        self._children: list[Child] = []

    def prepare(self) -> str:
        return ""

    def start(self, database: Database) -> None:
        self.database = database
        self.port = free_port()
        self.clear()  # a message that was cut off may have been stored after all
        self._start_gateway(self.port)

    def stop(self) -> None:
        while self._children:
            self._children.pop().stop()

    def processes(self) -> list[int]:
        return processes.below(self._children)

    def stored_count(self) -> int:
        """Messages that have their body and a delivery, so nothing of them is missing."""
        row = self._execute(STORED).fetchone()
        return int(row[0]) if row else 0

    def clear(self) -> None:
        self._execute(CLEAR)

    def _start_gateway(self, port: int) -> None:
        """Start the processes of one gateway; returns when all of them listen."""
        numbers = range(1, self._gateway_processes + 1)
        for number in numbers:
            settings = self._settings(port) | {"GATEWAY_SHARES_PORT": str(len(numbers) > 1)}
            self._run(f"gateway-{number}", "manage.py", "gateway", settings=settings)
        if not await_condition(
            lambda: listeners(port) == len(numbers), within_seconds=START_SECONDS
        ):
            last = "\n".join(self._children[-1].last_lines())
            self.stop()
            raise PeerError(f"Our gateway does not listen on port {port}; its log ends:\n{last}")

    def _run(self, name: str, *arguments: str, settings: Mapping[str, str]) -> Child:
        assert self.database is not None
        child = start(
            [sys.executable, *arguments],
            name=name,
            log=self._work / f"{name}.log",
            environment={**self.database.environment(), **settings},
        )
        self._children.append(child)
        return child

    def _settings(self, port: int) -> dict[str, str]:
        """Its environment beside the database: ports, and no limit that a benchmark runs into."""
        return {
            "GATEWAY_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "GATEWAY_PROBE_PORT": str(free_port()),
            "GATEWAY_HOSTNAME": "ours.bench.example",
            "GATEWAY_EXEMPT_NETWORKS": "127.0.0.0/8",
        }

    def _execute(self, statement: LiteralString, *values: object) -> psycopg.Cursor[Any]:
        assert self.database is not None
        with psycopg.connect(self.database.url, autocommit=True) as session:
            return session.execute(statement, values)


class AwayOurs(Ours):
    """The gateway with its database so many milliseconds away, there and back."""

    def __init__(self, work: Path, gateway_processes: int = 1, *, milliseconds: int) -> None:
        super().__init__(work, gateway_processes)
        self._delay = Delay(milliseconds=milliseconds, log=work / "delay.log")

    def start(self, database: Database) -> None:
        self._children.append(self._delay.start(database.url))
        super().start(database)

    def _settings(self, port: int) -> dict[str, str]:
        assert self.database is not None
        return super()._settings(port) | {"DATABASE_URL": self._delay.url(self.database.url)}


class AuthenticatingOurs(Ours):
    """The gateway with addresses that ask for DMARC pass, and a local name server."""

    def __init__(self, work: Path, gateway_processes: int = 1) -> None:
        super().__init__(work, gateway_processes)
        self._name_server = NameServer(work)

    def start(self, database: Database) -> None:
        self._children.append(self._name_server.start())
        super().start(database)
        self._execute(DEMAND, "dmarc")

    def stop(self) -> None:
        super().stop()
        if self.database is not None:
            self._execute(DEMAND, "")  # other cases share the rows

    def stored_message(self) -> bytes:
        row = self._execute(MESSAGE).fetchone()
        return bytes(row[0]) if row else b""

    def _settings(self, port: int) -> dict[str, str]:
        return super()._settings(port) | {"DNS_RESOLVERS": self._name_server.endpoint}


class TwinOurs(Ours):
    """Two gateways on one database."""

    def __init__(self, work: Path, gateway_processes: int = 1) -> None:
        super().__init__(work, gateway_processes)
        self.second_port = 0

    def start(self, database: Database) -> None:
        super().start(database)
        self.second_port = free_port()
        self._start_gateway(self.second_port)


class DeliveringOurs(Ours):
    """The gateway with a worker that delivers to a sink meanwhile."""

    def __init__(self, work: Path, gateway_processes: int = 1) -> None:
        super().__init__(work, gateway_processes)
        self._sink = Sink(work / "sink.log")
        self._newest_before = NIL

    def prepare(self) -> str:
        self._sink.require()
        return super().prepare()

    def start(self, database: Database) -> None:
        super().start(database)
        self._children.append(self._sink.start())
        self._execute("UPDATE tenants_nexthop SET port = %s WHERE name = %s", self._sink.port, HOP)
        probe = {"WORKER_PROBE_PORT": str(free_port())}
        self._run("worker", *WORKER, settings=self._settings(self.port) | probe)
        self._newest_before = self._newest()

    def received_count(self) -> int:
        return self._sink.received_count()

    def is_settled(self, accepted: int) -> bool:
        row = self._execute(DELIVERED, self._newest_before).fetchone()
        return row is not None and row[0] >= accepted

    def clear(self) -> None:
        """Throw all away, unless there are waiting deliveries among which it lies."""
        assert self.database is not None
        if not self.database.people.waiting:
            super().clear()
        self._newest_before = self._newest()

    def _newest(self) -> UUID:
        row = self._execute(NEWEST).fetchone()
        return row[0] if row else NIL
