"""`manage.py postfix_lookups`: answers a Postfix that keeps port 25, until SIGTERM or SIGINT."""

import asyncio
from typing import Any

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.postfix.configuration import parse_gateway
from gateway.postfix.server import LookupServer
from mailrouting.logging import configure
from mailrouting.serving import answer_probes, stop_signal

log = structlog.get_logger("gateway")


class Command(BaseCommand):
    help = "Answer Postfix's tables and policy requests by the gateway's decisions."
    requires_system_checks: list[str] = []  # the panel may be broken, mail must not be

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.POSTFIX_LOOKUPS_HOST)
        parser.add_argument("--port", type=int, default=settings.POSTFIX_LOOKUPS_PORT)
        parser.add_argument("--socket", default=settings.POSTFIX_LOOKUPS_SOCKET)
        parser.add_argument("--probe-port", type=int, default=settings.POSTFIX_LOOKUPS_PROBE_PORT)

    def handle(self, *_arguments: object, **options: Any) -> None:
        configure("postfix-lookups")
        if not options["port"] and not options["socket"]:
            raise CommandError(
                "Postfix has nowhere to ask: set POSTFIX_LOOKUPS_PORT or POSTFIX_LOOKUPS_SOCKET."
            )
        answer_probes(options["probe_port"], setting="POSTFIX_LOOKUPS_PROBE_PORT")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options["host"], options["port"], options["socket"]))


async def _serve(host: str, port: int, socket: str) -> None:
    server = LookupServer(gateway=parse_gateway(settings.POSTFIX_GATEWAY))
    stop = stop_signal()
    if port:
        await _listen_on_port(server, host, port)
    if socket:
        await _listen_on_socket(server, socket)
    await stop.wait()
    log.info("stopping", connections=server.connections)
    await server.stop()


async def _listen_on_port(server: LookupServer, host: str, port: int) -> None:
    try:
        bound = await server.listen(host, port)
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {host}:{port} ({error.strerror}): "
            "choose another with POSTFIX_LOOKUPS_PORT."
        ) from error
    log.info("listening", host=host, port=bound)


async def _listen_on_socket(server: LookupServer, socket: str) -> None:
    try:
        await server.listen_on_socket(socket)
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {socket} ({error.strerror}): "
            "its folder has to exist and be ours to write, see POSTFIX_LOOKUPS_SOCKET."
        ) from error
    log.info("listening", socket=socket)
