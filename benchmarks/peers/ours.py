"""Our own gateway, as `manage.py gateway` runs it: one process, its usual settings.

No worker runs, as Postfix's mail is held: the figure is "durable in its queue".
"""

import sys
from pathlib import Path

import psycopg

from benchmarks.database import Database
from benchmarks.peers import PeerError
from benchmarks.ports import HOST, await_greeting, free_port
from mailrouting.children import Child, start

STORED = """
SELECT count(*) FROM gateway_message message
JOIN gateway_body body ON body.id = message.body_id
    AND body.expires_on = message.body_expires_on
WHERE EXISTS (SELECT 1 FROM gateway_delivery WHERE message_id = message.id)
"""
CLEAR = "TRUNCATE gateway_body, gateway_message, gateway_routingrecord, gateway_delivery CASCADE"


class Ours:
    """The gateway of this repository."""

    name = "ours"

    def __init__(self, work: Path) -> None:
        self.port = free_port()
        self._log = work / "gateway.log"
        self._database: Database | None = None
        self._child: Child | None = None

    def version(self) -> str:
        return ""

    def start(self, database: Database) -> None:
        self._database = database
        self._child = start(
            [sys.executable, "manage.py", "gateway"],
            name="gateway",
            log=self._log,
            environment={**database.environment(), **self._settings()},
        )
        if not await_greeting(self.port, within_seconds=20):
            last = "\n".join(self._child.last_lines())
            self.stop()
            raise PeerError(
                f"Our gateway does not greet on port {self.port}; its log ends:\n{last}"
            )

    def stop(self) -> None:
        if self._child:
            self._child.stop()
            self._child = None

    def stored_count(self) -> int:
        """Messages that have their body and a delivery, so nothing of them is missing."""
        row = self._session_execute(STORED).fetchone()
        return int(row[0]) if row else 0

    def clear(self) -> None:
        self._session_execute(CLEAR)

    def _session_execute(self, statement: str) -> psycopg.Cursor[tuple[int]]:
        assert self._database is not None
        with psycopg.connect(self._database.url, autocommit=True) as session:
            return session.execute(statement)

    def _settings(self) -> dict[str, str]:
        """Its environment beside the database: ports of its own, and nothing else."""
        return {
            "GATEWAY_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_PROBE_PORT": str(free_port()),
            "GATEWAY_HOSTNAME": "ours.bench.example",
        }
