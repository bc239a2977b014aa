"""Postfix with Rspamd as its milter: SPF, DKIM and DMARC checked before the 250.

Rspamd runs what these checks need and nothing else: no statistics, no lists, no Redis. Two
processes of it scan, one for each core of a small machine.
"""

import grp
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.database import Database
from benchmarks.name_server import NameServer
from benchmarks.peers import PeerError
from benchmarks.peers.postfix import PATH, Postfix, run_program
from benchmarks.ports import await_open, free_port
from mailrouting.children import Child, start

ACCOUNT = "_rspamd"  # as Debian's package calls it
START_SECONDS = 30
MILTER = """\
smtpd_milters = inet:127.0.0.1:{milter}
milter_default_action = tempfail
"""
PLUGINS = Path("/usr/share/rspamd/plugins")
CONFIGURATION = """\
options {{
  filters = "dkim";
  pidfile = "{folder}/pid";
  control_socket = "{folder}/control mode=0600";
  cache_file = "{folder}/symbols.cache";
  tempdir = "{folder}";
  url_tld = "{folder}/tld";
  local_addrs = ["192.0.2.1"];
  check_local = true;
  dns {{ nameserver = ["{resolver}"]; }}
}}
logging {{ type = "console"; level = "error"; }}
actions {{ reject = 1000; add_header = 999; }}
modules {{
  path = "{plugins}/spf.lua"; path = "{plugins}/dmarc.lua"; path = "{plugins}/milter_headers.lua";
}}
spf {{ check_local = true; }}
dkim {{ check_local = true; }}
dmarc {{ check_local = true; }}
milter_headers {{ use = ["authentication-results"]; skip_local = false; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{milter}";
  milter = yes;
  timeout = 120s;
  count = 2;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""


class FilteringPostfix(Postfix):
    """Postfix that asks Rspamd about each message."""

    name = "Postfix + Rspamd"

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.delivery = f"{self.delivery}\n{MILTER}"
        self._filter_folder = work / "rspamd"
        self._name_server = NameServer(work)
        self._helpers: list[Child] = []
        self._milter_port = 0

    def prepare(self) -> str:
        version = super().prepare()
        if shutil.which("rspamd", path=PATH) is None:
            raise PeerError("Rspamd is missing: apt install rspamd")
        return version

    def start(self, database: Database) -> None:
        self._milter_port = free_port()
        self._helpers.append(self._name_server.start())
        self._helpers.append(self._start_filter())
        super().start(database)

    def stop(self) -> None:
        super().stop()
        while self._helpers:
            self._helpers.pop().stop()

    def stored_message(self) -> bytes:
        """The newest complete message as it lies in the queue."""
        newest = max(self._queue_files(), key=lambda file: file.stat().st_mtime_ns)
        return run_program("postcat", "-bh", str(newest)).encode()

    def _values(self) -> dict[str, str]:
        return super()._values() | {"milter": str(self._milter_port)}

    def _start_filter(self) -> Child:
        self._lay_out_filter()
        child = start(
            ["rspamd", "-f", "-c", self._filter_folder / "rspamd.conf", *_account()],
            name="rspamd",
            log=self._filter_folder / "rspamd.log",
        )
        if not await_open(self._milter_port, within_seconds=START_SECONDS):
            child.stop()
            raise PeerError(f"Rspamd does not listen: {' '.join(child.last_lines())}")
        return child

    def _lay_out_filter(self) -> None:
        folder = self._filter_folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.chown(folder, ACCOUNT, ACCOUNT)
        (folder / "tld").write_text("example\n")
        (folder / "rspamd.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                plugins=PLUGINS,
                resolver=self._name_server.endpoint,
                milter=self._milter_port,
            )
        )


def _account() -> Iterator[str]:
    """As root it asks for an account."""
    yield from ("-u", pwd.getpwnam(ACCOUNT).pw_name, "-g", grp.getgrnam(ACCOUNT).gr_name)
