"""Debian's Postfix as an instance of its own, with aliases and domains in PostgreSQL.

Tuned as a good administrator would for this load: no DNS, no per-client limits, no
slowing down after errors, a process for every connection, maps with and without proxymap, and
queries that ask the database once per decision. Accepted mail is held, so that the
figure is "durable in its queue" without the work of delivering; fsync stays on.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from stat import S_IXUSR

from psycopg.conninfo import conninfo_to_dict

from benchmarks import processes
from benchmarks.database import PEERS_ALIASES, PEERS_DOMAINS, Database
from benchmarks.peers import PeerError
from benchmarks.ports import await_greeting, free_port
from benchmarks.sink import Sink
from mailrouting.children import Child, start

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# Where messages may lie; the rig holds them, the others are looked at to be sure.
QUEUES = ("hold", "incoming", "active", "deferred")
START_SECONDS = 15

MAIN = """\
compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
multi_instance_name = postfix-benchmark
maillog_file_prefixes = {folder}
maillog_file = {folder}/mail.log
myhostname = postfix.bench.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
biff = no
smtpd_relay_restrictions = reject_unauth_destination

# Nothing that waits for names, nothing rewritten for a client that is not our user.
disable_dns_lookups = yes
smtpd_peername_lookup = no
local_header_rewrite_clients =
smtpd_tls_security_level = none

# No limit that a benchmark would run into, no slowing down.
default_process_limit = 1200
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000000000
smtpd_hard_error_limit = 1000000000
smtpd_junk_command_limit = 1000000000
in_flow_delay = 0
message_size_limit = 50000000
"""

# An alias is rewritten to the mailbox that it names, as by our gateway.
EXPANDED = """\
virtual_alias_domains = {map}:{folder}/config/domains.cf
virtual_alias_maps = {map}:{folder}/config/aliases.cf
"""
# An alias only has to exist; where its mail goes is left to the next hop.
RELAYED = """\
relay_domains = {map}:{folder}/config/domains.cf
relay_recipient_maps = {map}:{folder}/config/aliases.cf
relay_transport = discard:
"""
HELD = "smtpd_data_restrictions = check_client_access static:HOLD"
# Through connections that are kept, without names to ask for, twenty at a time.
SENT = """\
default_transport = smtp:[127.0.0.1]:{sink}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = none
smtp_connection_cache_on_demand = yes
initial_destination_concurrency = 20
"""

MASTER = """\
127.0.0.1:{port} inet n - n - 1200 smtpd
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
smtp      unix  - - n -   - smtp
scache    unix  - - n -   1 scache
anvil     unix  - - n -   1 anvil
proxymap  unix  - - n -   - proxymap
postlog   unix-dgram n - n - 1 postlogd
"""

# %u@%d and not %s: a key without a local part is no query, as there are no catch-alls.
ALIASES = f"SELECT goto FROM {PEERS_ALIASES} WHERE address = '%u@%d'"  # noqa: S608 - as Postfix
DOMAINS = f"SELECT name FROM {PEERS_DOMAINS} WHERE name = '%s'"  # noqa: S608 - fills it in


class Postfix:
    """Postfix with pgsql maps, each process with a connection of its own."""

    name = "Postfix"
    map = "pgsql"
    routing = EXPANDED
    delivery = HELD

    def __init__(self, work: Path) -> None:
        self.port = 0
        self._folder = work / "postfix"
        self._master: Child | None = None

    def prepare(self) -> str:
        _require()
        return run_program("postconf", "-h", "mail_version").strip()

    def start(self, database: Database) -> None:
        self.port = free_port()
        self._lay_out(database)
        config = str(self._folder / "config")
        run_program("postfix", "-c", config, "check")
        master = (
            Path(run_program("postconf", "-c", config, "-h", "daemon_directory").strip()) / "master"
        )
        # In the foreground below our leash, so that it cannot outlive us; the leash has made
        # it the leader of a process group already, which `postfix start-fg` would refuse.
        self._master = start(
            [master, "-c", config, "-d"], name="postfix", log=self._folder / "master.log"
        )
        if not await_greeting(self.port, within_seconds=START_SECONDS):
            self.stop()
            raise PeerError(f"Postfix does not greet on port {self.port}: {self._last_log()}")

    def stop(self) -> None:
        if self._master:
            self._master.stop()
            self._master = None

    def processes(self) -> list[int]:
        return processes.below([self._master] if self._master else [])

    def stored_count(self) -> int:
        """Complete queue files: Postfix makes them executable when they are safe on disk."""
        return sum(1 for file in self._queue_files() if file.stat().st_mode & S_IXUSR)

    def clear(self) -> None:
        for file in self._queue_files():
            file.unlink(missing_ok=True)

    def _queue_files(self) -> Iterator[Path]:
        for name in QUEUES:
            folder = self._folder / "queue" / name
            yield from (file for file in folder.rglob("*") if file.is_file())

    def _lay_out(self, database: Database) -> None:
        """Write a fresh instance; its folders belong to whom Postfix wants them to."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("config", "queue", "data"):
            (self._folder / name).mkdir(parents=True)
        shutil.chown(self._folder / "data", user="postfix")
        config = self._folder / "config"
        main = f"{MAIN}\n{self.routing}\n{self.delivery}"
        (config / "main.cf").write_text(main.format(**self._values()))
        (config / "master.cf").write_text(MASTER.format(port=self.port))
        for name, query in (("aliases", ALIASES), ("domains", DOMAINS)):
            (config / f"{name}.cf").write_text(_map(database, query))

    def _values(self) -> dict[str, str]:
        """What the templates leave open."""
        return {"folder": str(self._folder), "map": self.map}

    def _last_log(self) -> str:
        log = self._folder / "mail.log"
        return log.read_text()[-500:] if log.exists() else "no log was written"


class RelayingPostfix(Postfix):
    """Postfix that only checks whether an address exists: less work than ours does."""

    name = "Postfix, existence only"
    routing = RELAYED


class ProxiedPostfix(Postfix):
    """Postfix whose processes share the connections of a few look-up servers, as is usual."""

    name = "Postfix, proxymap"
    map = "proxy:pgsql"


class DeliveringPostfix(Postfix):
    """Postfix that also delivers to a sink while it accepts."""

    delivery = SENT

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self._sink = Sink(work / "sink.log")
        self._running_sink: Child | None = None
        self._sent_before = 0

    def prepare(self) -> str:
        self._sink.require()
        return super().prepare()

    def start(self, database: Database) -> None:
        self._running_sink = self._sink.start()
        self._sent_before = 0
        super().start(database)

    def stop(self) -> None:
        super().stop()
        if self._running_sink:
            self._running_sink.stop()
            self._running_sink = None

    def received_count(self) -> int:
        return self._sink.received_count()

    def is_settled(self, accepted: int) -> bool:
        """Sent, and gone from the queue."""
        return not any(self._queue_files()) and self._sent() - self._sent_before >= accepted

    def clear(self) -> None:
        super().clear()
        self._sent_before = self._sent()

    def _values(self) -> dict[str, str]:
        return super()._values() | {"sink": str(self._sink.port)}

    def _sent(self) -> int:
        return (self._folder / "mail.log").read_bytes().count(b"status=sent")


def _require() -> None:
    if not shutil.which("postfix", path=PATH):
        raise PeerError("Postfix is not installed: apt install postfix postfix-pgsql")
    if "pgsql" not in run_program("postconf", "-m").split():
        raise PeerError("Postfix has no pgsql maps: apt install postfix-pgsql")
    if os.geteuid() != 0:
        raise PeerError("Postfix can be started by root alone: run as root, or with --peers ours")


def run_program(*command: str) -> str:
    """What one of Postfix's commands says; PeerError when it fails."""
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise PeerError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def _map(database: Database, query: str) -> str:
    """A pgsql_table(5) that asks this query of the database."""
    parts = conninfo_to_dict(database.url)
    return (
        f"hosts = {database.url}\nuser = {parts['user']}\npassword = {parts['password']}\n"
        f"dbname = {parts['dbname']}\nquery = {query}\n"
    )
