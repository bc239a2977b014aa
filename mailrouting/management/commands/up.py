"""`manage.py up`: the whole product behind one command, to try it out.

It decides what runs, where, and in which order; `mailrouting.supervisor` runs it. It
never opens the database itself, since its settings were read before there was one.
"""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway.headroom import THREADS
from mailrouting import certificate, postgres
from mailrouting.children import StartError, hold
from mailrouting.embedded import REPOSITORY, make_root
from mailrouting.supervisor import (
    Interrupted,
    Listener,
    Service,
    Supervisor,
    choose_free,
    interruptible,
    python,
    require_free,
)

WEB_THREADS = 8


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each process listens."""

    web: Listener
    gateway: Listener
    gateway_probe: Listener
    worker_probe: Listener
    beat_probe: Listener
    # Set where a Postfix is to ask us.
    postfix: Listener | None = None
    postfix_probe: Listener | None = None

    def all(self) -> list[Listener]:
        listeners = (getattr(self, each.name) for each in fields(self))
        return [listener for listener in listeners if listener is not None]


def configured_addresses() -> Addresses:
    """The addresses that the settings name."""

    def listener(name: str, host: str) -> Listener:
        return Listener(name, host, getattr(settings, name))

    return Addresses(
        web=listener("WEB_PORT", settings.WEB_HOST),
        gateway=listener("GATEWAY_PORT", settings.GATEWAY_HOST),
        gateway_probe=listener("GATEWAY_PROBE_PORT", settings.PROBE_HOST),
        worker_probe=listener("WORKER_PROBE_PORT", settings.PROBE_HOST),
        beat_probe=listener("BEAT_PROBE_PORT", settings.PROBE_HOST),
        postfix=listener("POSTFIX_LOOKUPS_PORT", settings.POSTFIX_LOOKUPS_HOST)
        if settings.POSTFIX_LOOKUPS_PORT
        else None,
        postfix_probe=listener("POSTFIX_LOOKUPS_PROBE_PORT", settings.PROBE_HOST)
        if settings.POSTFIX_LOOKUPS_PORT
        else None,
    )


def with_free_ports(addresses: Addresses) -> Addresses:
    """The same hosts with ports that nobody uses."""
    listeners = addresses.all()
    ports = choose_free([listener.host for listener in listeners])
    return Addresses(
        *(replace(each, port=port) for each, port in zip(listeners, ports, strict=True))
    )


def services(addresses: Addresses) -> list[Service]:
    """What is started once the database is ready; stopped in reverse."""
    web = addresses.web
    host_header = next(
        (host for host in settings.ALLOWED_HOSTS if host[:1] not in "*."), "localhost"
    )
    planned = [
        Service(
            "web",
            python(
                *("-m", "gunicorn", "mailrouting.wsgi", "--bind", f"{web.host}:{web.port}"),
                *("--worker-class", "gthread", "--workers", "1", "--threads", str(WEB_THREADS)),
                *("--graceful-timeout", "5", "--no-control-socket"),
            ),
            web,
            host_header,
        ),
        Service("gateway", python("manage.py", "gateway"), addresses.gateway_probe),
        Service(
            "worker",
            python(
                *("-m", "celery", "-A", "mailrouting", "worker"),
                *("--pool", "threads", "--concurrency", str(THREADS)),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ),
            addresses.worker_probe,
        ),
        Service(
            "beat",
            python("-m", "celery", "-A", "mailrouting", "beat", "--pidfile="),
            addresses.beat_probe,
        ),
    ]
    if addresses.postfix_probe is not None:
        command = python("manage.py", "postfix_lookups")
        planned.append(Service("postfix-lookups", command, addresses.postfix_probe))
    return planned


class Command(BaseCommand):
    help = "Start everything for a try-out: PostgreSQL, web, gateway, worker and beat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--free-ports", action="store_true", help="listen on ports that nobody uses"
        )
        parser.add_argument("--data", type=Path, help="the data folder, instead of DATA_DIR")
        parser.add_argument(
            "--run", metavar="COMMAND", help="run this once all is ready, then stop everything"
        )

    def handle(
        self,
        *_arguments: object,
        free_ports: bool,
        data: Path | None,
        run: str | None,
        **_options: object,
    ) -> None:
        root = settings.DATA_DIR if data is None else data.expanduser().absolute()
        addresses = configured_addresses()
        try:
            with interruptible():
                if free_ports:
                    addresses = with_free_ports(addresses)
                status = self._up(root, addresses, run)
        except StartError as error:
            raise CommandError(str(error)) from None
        except PermissionError as error:
            raise CommandError(
                f"{error.filename} may not be used by this account: choose another folder "
                "with DATA_DIR, or start as its owner."
            ) from None
        except Interrupted:
            self._say("Stopped.")
            return
        sys.exit(status)

    def _up(self, root: Path, addresses: Addresses, run: str | None) -> int:
        began = time.monotonic()
        make_root(root)
        with hold(root, "up") as lock:
            require_free(addresses.all())
            environment = _environment(root, addresses)
            with _database(root) as server, Supervisor(root / "log", environment, lock) as running:
                if server is not None:
                    running.watch(server.child)
                    self._say(f"PostgreSQL is ready after {time.monotonic() - began:.1f} s.")
                self._start(running, root, addresses)
                self._say(f"Everything is ready after {time.monotonic() - began:.1f} s.")
                if run is not None:
                    return running.run(_command_line(run))
                self._say(_summary(root, addresses))
                running.check(within_seconds=None)
        return 0

    def _start(self, running: Supervisor, root: Path, addresses: Addresses) -> None:
        if running.run(python("manage.py", "bootstrap", "--summary", str(_summary_file(root)))):
            raise StartError("The database could not be made ready, for the reason above.")
        planned = services(addresses)
        for service in planned:
            running.start(service)
        running.wait_until_ready(planned)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


@contextmanager
def _database(root: Path) -> Iterator[postgres.Server | None]:
    """The embedded server; None where DATABASE_URL names another."""
    is_external = bool(os.environ.get("DATABASE_URL"))
    with nullcontext() if is_external else postgres.running(root) as server:
        yield server


def _environment(root: Path, addresses: Addresses) -> dict[str, str]:
    """What the children need to find each other and the data folder."""
    environment = {
        **os.environ,
        **{listener.setting: str(listener.port) for listener in addresses.all()},
        "DATA_DIR": str(root),
        "PYTHONUNBUFFERED": "1",
    }
    if not settings.GATEWAY_TLS_CERTIFICATE:
        public, key = certificate.ensure(
            root / "tls", hostname=settings.GATEWAY_HOSTNAME, now=datetime.now(UTC)
        )
        environment |= {"GATEWAY_TLS_CERTIFICATE": str(public), "GATEWAY_TLS_KEY": str(key)}
    return environment


def _command_line(text: str) -> list[str]:
    words = shlex.split(text)
    return [*python(str(REPOSITORY / words[0])), *words[1:]] if words[0] == "manage.py" else words


def _summary_file(root: Path) -> Path:
    return root / "bootstrap.json"


def _summary(root: Path, addresses: Addresses) -> str:
    recipient = json.loads(_summary_file(root).read_text())["first_address"]
    host, port = addresses.gateway.reachable_host, addresses.gateway.port
    return f"""
  panel    http://{addresses.web}/admin/
  SMTP     {addresses.gateway}
  probes   gateway {addresses.gateway_probe}, worker {addresses.worker_probe}, \
beat {addresses.beat_probe}: /livez /readyz /metrics
  data     {root} (logs in {root / "log"})

Send a first message with
  swaks --server {host}:{port} --from you@example.net --to {recipient}
or, without swaks,
  python3 -c 'import smtplib; smtplib.SMTP("{host}", {port}).sendmail("you@example.net", \
"{recipient}", "Subject: Hello\\r\\n\\r\\nA first message.\\r\\n")'

This is the try-out, not for production: README.md says how that is set up. Ctrl-C stops it."""
