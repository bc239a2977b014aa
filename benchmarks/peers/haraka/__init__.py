"""Haraka out of npm, at locked versions, with a plug-in of ours that asks PostgreSQL.

Tuned as a good administrator would for this load: no plug-in but the one that answers, no names
of clients, no limit that a benchmark would run into. Accepted mail is written to its outbound
queue, synced as Haraka does by default, and delivery is paused.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from benchmarks import processes
from benchmarks.database import Database
from benchmarks.peers import PeerError
from benchmarks.ports import HOST, await_greeting, free_port
from mailrouting.children import Child, start

HERE = Path(__file__).resolve().parent
INSTALL_SECONDS = 180
POOL = 16  # connections of one process; more were no faster

CONFIGURATION = {
    "me": "haraka.bench.example\n",
    "plugins": "recipients\n",
    "smtp.ini": "listen={host}:{port}\nnodes={nodes}\n",
    "connection.ini": "[main]\nstrict_rfc1869=false\n[headers]\nshow_version=false\n"
    "[max]\nbytes=50000000\nline_length=512\ndata_line_length=992\nmime_parts=1000\n"
    "[message]\nhelo=Haraka\nclose=bye\n[uuid]\nbanner_chars=6\n[haproxy]\nenabled=false\n",
    # One delivery at a time, and that one waits: the rest lies in the queue untouched.
    "outbound.ini": "disabled=true\nconcurrency_max=1\n",
    "log.ini": "[main]\nlevel=notice\ntimestamps=true\n",
    "recipients.ini": "host={socket}\ndatabase={dbname}\nuser={user}\npassword={password}\n"
    "connections={pool}\n",
}


class Haraka:
    """Haraka in one process."""

    name = "Haraka"
    nodes = 0  # processes beside the first one, which then only hands out connections

    def __init__(self, work: Path) -> None:
        self.port = 0
        self._programs = work / "haraka-programs"
        self._folder = work / "haraka"
        self._child: Child | None = None

    def prepare(self) -> str:
        if not (shutil.which("node") and shutil.which("npm")):
            raise PeerError("Haraka needs node and npm: apt install nodejs npm")
        if not self._programs.exists():
            self._install()
        package: dict[str, Any] = json.loads((self._haraka() / "package.json").read_text())
        return str(package["version"])

    def start(self, database: Database) -> None:
        self.port = free_port()
        self._lay_out(database)
        program = self._haraka() / "bin" / "haraka"
        self._child = start(
            ["node", program, "-c", self._folder],
            name="haraka",
            log=self._folder / "haraka.log",
        )
        if not await_greeting(self.port, within_seconds=30):
            said = "\n".join(self._child.last_lines(60))
            self.stop()
            raise PeerError(f"Haraka does not greet on port {self.port}: {said}")

    def stop(self) -> None:
        if self._child:
            self._child.stop()
            self._child = None

    def processes(self) -> list[int]:
        return processes.below([self._child] if self._child else [])

    def stored_count(self) -> int:
        """Queue files: Haraka renames them from their dotted names when they are synced."""
        return sum(1 for file in self._queue().iterdir() if not file.name.startswith("."))

    def clear(self) -> None:
        for file in self._queue().iterdir():
            file.unlink()

    def _queue(self) -> Path:
        return self._folder / "queue"

    def _haraka(self) -> Path:
        return self._programs / "node_modules" / "Haraka"

    def _install(self) -> None:
        """The locked packages, without running any script of theirs."""
        self._programs.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, self._programs)
        command = ("npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
        try:
            done = subprocess.run(
                command,
                cwd=self._programs,
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise PeerError(f"npm did not install Haraka in {INSTALL_SECONDS} s") from None
        if done.returncode:
            shutil.rmtree(self._programs)
            last = " ".join(done.stderr.strip().splitlines()[-3:])
            raise PeerError(f"npm could not install Haraka: {last}")

    def _lay_out(self, database: Database) -> None:
        """A fresh instance with our plug-in."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("config", "queue"):
            (self._folder / name).mkdir(parents=True)
        shutil.copytree(HERE / "plugins", self._folder / "plugins")
        (self._folder / "node_modules").symlink_to(self._programs / "node_modules")
        parts = conninfo_to_dict(database.url)
        values = {
            **{name: parts[name] for name in ("dbname", "user", "password")},
            "socket": parts["host"],
            "host": HOST,
            "port": self.port,
            "nodes": self.nodes,
            "pool": POOL,
        }
        for name, text in CONFIGURATION.items():
            (self._folder / "config" / name).write_text(text.format(**values))


class ClusteredHaraka(Haraka):
    """Haraka with two worker processes, one for each core of a small machine."""

    name = "Haraka, 2 workers"
    nodes = 2
