"""Debian's Postfix in front of the panel: a private instance with the lines that we tell operators.

Only what a test needs differs from them: ports, folders, no DNS, retries within a second.
"""

import asyncio
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from gateway.postfix import configuration
from gateway.postfix.server import LookupServer
from gateway.routing.facts import Hop
from mailrouting.children import Child, start
from tests.gateway.live import TIMEOUT_SECONDS
from tests.gateway.peers import age, open_folder, program
from tests.gateway.sink import free_port
from tests.waiting import wait_until

MAIN_CF = """\
compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
multi_instance_name = postfix-edge
maillog_file_prefixes = {folder}
maillog_file = {folder}/mail.log
myhostname = localhost
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
local_recipient_maps =
alias_maps =
alias_database =
biff = no
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s

{lines}
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - 20 smtpd
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
error     unix  - - n -   - error
retry     unix  - - n -   - error
smtp      unix  - - n -   - smtp
relay     unix  - - n -   - smtp
local     unix  - n n -   - local
scache    unix  - - n -   1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
{lines}
"""


class LiveLookups:
    """A LookupServer on a thread with its own event loop; stopped, it can be started again."""

    def __init__(self, gateway_port: int, port: int | None = None) -> None:
        self.port = port or free_port()
        self._gateway = Hop(0, "smtp", "127.0.0.1", gateway_port, "none")
        self._thread: threading.Thread | None = None
        self.server: LookupServer
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    def start(self) -> "LiveLookups":
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[ready], daemon=True)
        self._thread.start()
        assert ready.wait(TIMEOUT_SECONDS)
        return self

    def stop(self) -> None:
        if self._thread is not None:
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(TIMEOUT_SECONDS * 3)
            assert not self._thread.is_alive()
            self._thread = None

    def flush_refusals(self) -> None:
        """Write the refusals noted so far."""
        flush = self.server.refusals.flush()
        asyncio.run_coroutine_threadsafe(flush, self.loop).result(TIMEOUT_SECONDS)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = LookupServer(gateway=self._gateway)
        await self.server.listen("127.0.0.1", self.port)
        ready.set()
        await self._stop.wait()
        await self.server.stop()


class Edge:
    """A running Postfix: its port, and what it has logged."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._endpoint = endpoint
        self._master: Child | None = None

    @property
    def log(self) -> str:
        path = self._folder / "mail.log"
        return path.read_text() if path.exists() else "(no log)"

    @property
    def is_empty(self) -> bool:
        """Whether every message has left the queue, one between two of its folders included."""
        queues = (self._folder / "queue" / name for name in ("incoming", "active", "deferred"))
        if any(file.is_file() for queue in queues for file in queue.rglob("*")):
            return False
        seen = re.findall(r"qmgr\[\d+\]: (\w+): from=", self.log)
        return set(seen) == set(re.findall(r"qmgr\[\d+\]: (\w+): removed", self.log))

    def start(self) -> None:
        self._lay_out()
        config = self._folder / "config"
        subprocess.run([program("postfix"), "-c", config, "check"], check=True, timeout=60)
        told = self._postconf("-h", "daemon_directory")
        master = Path(told.strip()) / "master"
        self._master = start(
            [master, "-c", config, "-d"], name="postfix", log=self._folder / "master.log"
        )
        wait_until(lambda: "daemon started" in self.log, seconds=60)

    def stop(self) -> None:
        if self._master:
            self._master.stop()

    def reload(self) -> None:
        """Let it begin anew: a table that failed is left alone for half a minute."""
        config = self._folder / "config"
        subprocess.run([program("postfix"), "-c", config, "reload"], check=True, timeout=60)

    def table(self, name: str, key: str) -> str:
        """What Postfix's own postmap gets out of a table; empty where it finds nothing."""
        command = [program("postmap"), "-c", self._folder / "config", "-q", key]
        asked = [*command, f"socketmap:{self._endpoint}:{name}"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()

    def _postconf(self, *words: str) -> str:
        command = [program("postconf"), "-c", self._folder / "config", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def _lay_out(self) -> None:
        for name in ("config", "queue", "data"):
            (self._folder / name).mkdir()
        shutil.chown(self._folder / "data", user="postfix")
        config = self._folder / "config"
        lines = self._main_lines()
        (config / "main.cf").write_text(MAIN_CF.format(folder=self._folder, lines=lines))
        lines = configuration.MASTER_CF.replace("-  -  -  -  -", "-  -  n  -  -")
        (config / "master.cf").write_text(MASTER_CF.format(port=self.port, lines=lines))
        (config / "panel-mailboxes").write_text(configuration.MAILBOXES)
        age(config / "main.cf")

    def _main_lines(self) -> str:
        """What the panel tells an operator to write into main.cf."""
        return configuration.main_cf(
            self._endpoint, max_message_octets=50_000_000, max_recipients=1000
        )


class Sender(Edge):
    """A Postfix elsewhere that takes mail from this machine and sends all of it to one server."""

    def _main_lines(self) -> str:
        return (
            f"relayhost = {self._endpoint}\nmynetworks = 127.0.0.0/8\nrelay_domains =\n"
            "smtpd_relay_restrictions = permit_mynetworks, reject\nsmtputf8_enable = yes\n"
        )


@contextmanager
def sending_postfix(port: int) -> Iterator[Sender]:
    """Debian's Postfix as a sender to a port of this machine; needs root, as Postfix does."""
    with open_folder("sender") as folder:
        sender = Sender(folder, f"[127.0.0.1]:{port}")
        sender.start()
        try:
            yield sender
        finally:
            sender.stop()


@contextmanager
def lookups(gateway_port: int) -> Iterator[LiveLookups]:
    running = LiveLookups(gateway_port).start()
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def postfix(endpoint: str) -> Iterator[Edge]:
    """Debian's Postfix with the panel's lines; needs root, as Postfix does."""
    with open_folder("edge") as folder:
        edge = Edge(folder, endpoint)
        edge.start()
        try:
            yield edge
        finally:
            edge.stop()
