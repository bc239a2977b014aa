"""Debian's Exim with its PostgreSQL look-ups, unpacked into the rig's folder.

Tuned as a good administrator would for this load: one query per RCPT, no names of clients, no
ident, no lists, no limit on connections. Accepted mail stays in its queue (`queue_only`), synced
as Exim does by default. A process for each connection is how Exim works.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from benchmarks import processes
from benchmarks.database import PEERS_ALIASES, Database
from benchmarks.peers import PeerError, debian
from benchmarks.ports import await_greeting, free_port
from mailrouting.children import Child, start

PACKAGE = "exim4-daemon-heavy"
# Compiled in: the program ends at once where there is no such account and group. It is shown
# lists with these, of another account's numbers, and nobody else sees them.
ACCOUNT = "Debian-exim"
STAND_IN = "nobody"
WITH_ACCOUNT = """\
mount --bind "$1"/passwd /etc/passwd && mount --bind "$1"/group /etc/group && shift && exec "$@"
"""
POSTGRES_SOCKET = ".s.PGSQL.5432"

CONFIGURATION = """\
primary_hostname = exim.bench.example
exim_user = {uid}
exim_group = {gid}
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
pid_file_path = {folder}/exim.pid
spool_directory = {folder}/spool
split_spool_directory = true
log_file_path = {folder}/log/%slog
write_rejectlog = false
hide pgsql_servers = ({socket})/{dbname}/{user}/{password}

# Nothing that waits for names, nothing negotiated that the load does not use.
host_lookup =
rfc1413_hosts =
rfc1413_query_timeout = 0s
dns_ipv4_lookup = *
tls_advertise_hosts =
helo_allow_chars = _

# No limit that a benchmark would run into, no slowing down.
smtp_accept_max = 1500
smtp_accept_max_per_host = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1024
smtp_max_unknown_commands = 1000000
smtp_accept_max_nonmail = 1000000000
message_size_limit = 50M

# Accepted mail is safe in the queue and stays there.
queue_only = true
queue_run_max = 0

acl_smtp_rcpt = recipients
begin acl
recipients:
  accept condition = ${{lookup pgsql{{SELECT 1 FROM {table} \
WHERE address = '${{quote_pgsql:${{lc:$local_part@$domain}}}}'}}{{yes}}{{no}}}}
  deny message = no such address

begin routers
held:
  driver = accept
  transport = nowhere

begin transports
nowhere:
  driver = appendfile
  file = /dev/null
"""


class Exim:
    """Exim with one pgsql look-up per RCPT."""

    name = "Exim"

    def __init__(self, work: Path) -> None:
        self.port = 0
        self._work = work / "exim"
        self._folder = self._work / "instance"
        self._root = self._work / "package" / "root"
        self._daemon: Child | None = None

    def prepare(self) -> str:
        if os.geteuid() != 0:
            raise PeerError("Exim can be started by root alone: run as root")
        if not self._root.exists():
            debian.unpack(PACKAGE, self._root.parent)
        self._write_accounts()
        said = self._run("-C", "/dev/null", "-bV")
        if "pgsql" not in said:
            raise PeerError(f"Exim's package {PACKAGE} has no PostgreSQL look-ups")
        return said.split()[2]

    def start(self, database: Database) -> None:
        self.port = free_port()
        self._lay_out(database)
        self._daemon = start(
            self._command("-bdf", "-C", str(self._folder / "exim.conf")),
            name="exim",
            log=self._folder / "daemon.log",
            environment=self._environment(),
        )
        if not await_greeting(self.port, within_seconds=15):
            said = "\n".join([*self._daemon.last_lines(), *self._last_log()])
            self.stop()
            raise PeerError(f"Exim does not greet on port {self.port}: {said}")

    def stop(self) -> None:
        if self._daemon:
            self._daemon.stop()
            self._daemon = None

    def processes(self) -> list[int]:
        return processes.below([self._daemon] if self._daemon else [])

    def stored_count(self) -> int:
        """Envelope files: Exim writes them last, and both files of a message are synced by then."""
        return sum(1 for file in self._spool_files() if file.name.endswith("-H"))

    def clear(self) -> None:
        for file in self._spool_files():
            file.unlink(missing_ok=True)

    def _spool_files(self) -> Iterator[Path]:
        yield from (file for file in (self._folder / "spool").rglob("*-[DHJ]") if file.is_file())

    def _lay_out(self, database: Database) -> None:
        """A fresh instance, which belongs to the account that Exim changes to."""
        shutil.rmtree(self._folder, ignore_errors=True)
        parts = conninfo_to_dict(database.url)
        account = pwd.getpwnam(STAND_IN)
        for name in ("spool", "log"):
            (self._folder / name).mkdir(parents=True)
            shutil.chown(self._folder / name, account.pw_uid, account.pw_gid)
        configuration = CONFIGURATION.format(
            **{name: parts[name] for name in ("dbname", "user", "password")},
            socket=f"{parts['host']}/{POSTGRES_SOCKET}",
            folder=self._folder,
            port=self.port,
            uid=account.pw_uid,
            gid=account.pw_gid,
            table=PEERS_ALIASES,
        )
        (self._folder / "exim.conf").write_text(configuration)

    def _write_accounts(self) -> None:
        """The system's lists of accounts and groups with one more line each."""
        found = pwd.getpwnam(STAND_IN)
        user = f"{ACCOUNT}:x:{found.pw_uid}:{found.pw_gid}::/nonexistent:/usr/sbin/nologin\n"
        for name, line in (("passwd", user), ("group", f"{ACCOUNT}:x:{found.pw_gid}:\n")):
            (self._work / name).write_text((Path("/etc") / name).read_text() + line)

    def _command(self, *arguments: str) -> list[str]:
        """Exim in a view of the file system of its own, where its account exists."""
        exim = str(self._root / "usr" / "sbin" / "exim4")
        return [
            *("unshare", "--mount", "sh", "-c", WITH_ACCOUNT, "sh", str(self._work)),
            *(exim, *arguments),
        ]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": debian.library_path(self._root)}

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        if done.returncode:
            raise PeerError(f"Exim does not run here: {done.stderr.strip()}")
        return done.stdout

    def _last_log(self) -> list[str]:
        log = self._folder / "log" / "mainlog"
        return log.read_text().splitlines()[-5:] if log.exists() else []
