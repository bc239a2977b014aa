"""Debian's Rspamd on loopback ports, with a configuration of its own, and what stands for ClamAV.

It needs no network and no Redis. A message says in X-Mood what action Rspamd is to take; what
carries the text EICAR is a virus by the word of a scripted clamd.
"""

import grp
import os
import shutil
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gateway.peers import open_folder, program, running, unprivileged
from tests.gateway.sink import free_port

# A text that Rspamd knows by heart, and one that the scripted clamd does.
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
VIRUS = b"EICAR"

CONFIGURATION = """
options {{
  filters = "";
  pidfile = "{folder}/pid";
  control_socket = "{folder}/control mode=0600";
  cache_file = "{folder}/symbols.cache";
  tempdir = "{folder}";
  url_tld = "{folder}/tld";
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "error"; }}
actions {{ quarantine = 100; reject = 15; add_header = 6; greylist = 4; }}
lua = "{folder}/moods.lua";
modules {{ path = "/usr/share/rspamd/plugins/antivirus.lua"; }}
antivirus {{
  clamav {{
    type = "clamav"; servers = "127.0.0.1:{clamd}"; symbol = "CLAM_VIRUS"; action = "reject";
    scan_mime_parts = false; timeout = 5.0;
  }}
}}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
"""
MOODS = """
rspamd_config:register_symbol({ name = 'MOOD', score = 0.0, callback = function(task)
  local mood = task:get_header('X-Mood')
  if mood then task:set_pre_result(mood, 'as told') end
end })
rspamd_config:register_symbol({ name = 'HEAVY', score = 7.5, callback = function(task)
  if task:get_header('X-Heavy') then return true, 1.0, task:get_from('smtp')[1].addr end
end })
"""


@contextmanager
def rspamd() -> Iterator[str]:
    """The URL at which Rspamd's normal worker listens."""
    with open_folder("rspamd") as folder, _clamd() as clamd:
        port, owner = free_port(), unprivileged()
        (folder / "tld").write_text("example\ncom\nnet\norg\n")
        (folder / "moods.lua").write_text(MOODS)
        configuration = folder / "rspamd.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port, clamd=clamd))
        shutil.chown(folder, owner.pw_uid, owner.pw_gid)
        command = [program("rspamd"), "-f", "-c", str(configuration)]
        if os.geteuid() == 0:
            command += ["-u", owner.pw_name, "-g", _group(owner.pw_gid)]
        with running(command, port):
            yield f"http://127.0.0.1:{port}"


class _Clamd(socketserver.StreamRequestHandler):
    """clamd's INSTREAM: chunks with their length, then what was found in them."""

    def handle(self) -> None:
        self.rfile.read(len(b"zINSTREAM\0"))
        found = b""
        while size := struct.unpack("!I", self.rfile.read(4))[0]:
            found += self.rfile.read(size)
        verdict = b"Eicar-Test-Signature FOUND" if VIRUS in found else b"OK"
        self.wfile.write(b"stream: " + verdict + b"\0")


@contextmanager
def _clamd() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Clamd) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _group(number: int) -> str:
    return grp.getgrgid(number).gr_name
