"""`manage.py gateway`: the SMTP gateway of one process, until SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import ssl
import tempfile
from ipaddress import ip_network
from typing import Any

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.disk import DiskWatch, Room
from gateway.smtpd.door import raise_descriptor_limit
from gateway.smtpd.limits import Limits
from gateway.smtpd.server import GatewayServer, tls_context
from gateway.smtpd.transaction import Terms
from gateway.watch.heart import Heart, name_of
from mailrouting.logging import configure
from mailrouting.serving import answer_probes, stop_signal

log = structlog.get_logger("gateway")

# Allocations between two looks for cycles; sessions leave few, and each look stops the loop.
GARBAGE_THRESHOLD = 50_000


class Command(BaseCommand):
    help = "Run the SMTP gateway: decides every RCPT TO, stores what it accepts."
    requires_system_checks: list[str] = []  # the panel may be broken, mail must not be

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.GATEWAY_HOST)
        parser.add_argument("--port", type=int, default=settings.GATEWAY_PORT)
        parser.add_argument("--probe-port", type=int, default=settings.GATEWAY_PROBE_PORT)

    def handle(self, *_arguments: object, **options: Any) -> None:
        configure("gateway")
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        try:
            context = tls_context(settings.GATEWAY_TLS_CERTIFICATE, settings.GATEWAY_TLS_KEY)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(
                f"The certificate cannot be used ({error}): "
                "set GATEWAY_TLS_CERTIFICATE and GATEWAY_TLS_KEY to readable PEM files."
            ) from error
        answer_probes(options["probe_port"], setting="GATEWAY_PROBE_PORT")
        heart = _heart(options["probe_port"])
        heart.start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options["host"], options["port"], context))
        heart.stop()


async def _serve(host: str, port: int, context: ssl.SSLContext | None) -> None:
    server = GatewayServer(
        max_recipients=settings.GATEWAY_MAX_RECIPIENTS,
        data_budget_octets=settings.GATEWAY_DATA_BUDGET_OCTETS,
        tls=context,
        limits=_limits(),
        terms=Terms(
            normalises_line_ends=settings.GATEWAY_BARE_LINE_ENDS == "normalise",
            offers_dsn=settings.GATEWAY_OFFERS_DSN,
        ),
        room=_room(),
    )
    stop = stop_signal()
    try:
        bound = await server.start(host, port, shares_port=settings.GATEWAY_SHARES_PORT)
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {host}:{port} ({error.strerror}): choose another with GATEWAY_PORT."
        ) from error
    gc.collect()
    gc.freeze()  # what is loaded by now stays: the collector need not walk it again and again
    gc.set_threshold(GARBAGE_THRESHOLD)
    log.info("listening", host=host, port=bound, starttls=context is not None)
    await stop.wait()
    log.info("stopping", sessions=len(server.sessions))
    await server.stop()


def _room() -> Room:
    disk = DiskWatch(watched_folders(), reserve_octets=settings.GATEWAY_DISK_RESERVE_OCTETS)
    return Room(settings.GATEWAY_SPOOL_DIR, disk)


def watched_folders() -> list[str]:
    """The spool, and the disks that accepted mail is written to as far as this machine has them."""
    folders = [settings.GATEWAY_SPOOL_DIR or tempfile.gettempdir(), *settings.GATEWAY_DISK_FOLDERS]
    return [*folders, str(settings.DATA_DIR)] if settings.EMBEDDED else folders


def _heart(port: int) -> Heart:
    """Says in the database that this gateway lives, and what room its disks have."""
    return Heart(
        name_of("gateway", port),
        "gateway",
        folders=watched_folders(),
        reserve_octets=settings.GATEWAY_DISK_RESERVE_OCTETS,
    )


def _limits() -> Limits:
    """What strangers may do, by the settings and by what the system allows."""
    most, fitting = settings.GATEWAY_MAX_CONNECTIONS, raise_descriptor_limit()
    if fitting is not None and fitting < most:
        log.warning("fewer connections than set: too few descriptors", connections=fitting)
        most = fitting
    return Limits(
        max_connections=most,
        max_connections_per_client=settings.GATEWAY_MAX_CONNECTIONS_PER_CLIENT,
        client_errors=settings.GATEWAY_CLIENT_ERRORS,
        proxies=tuple(map(ip_network, settings.GATEWAY_PROXY_NETWORKS)),
        exempt=tuple(map(ip_network, settings.GATEWAY_EXEMPT_NETWORKS)),
    )
