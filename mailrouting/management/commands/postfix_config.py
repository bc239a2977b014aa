"""`manage.py postfix_config`: the lines that make a Postfix ask `postfix_lookups`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from gateway.postfix import configuration

# For an installation that has not chosen yet.
USUAL_PORT = 10030


class Command(BaseCommand):
    help = "Print the lines for Postfix's main.cf, master.cf and panel-mailboxes."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="?", choices=["main.cf", "master.cf", "panel-mailboxes"], help="one alone"
        )
        parser.add_argument("--host", default=settings.POSTFIX_LOOKUPS_HOST)
        parser.add_argument("--port", type=int, default=settings.POSTFIX_LOOKUPS_PORT or USUAL_PORT)
        parser.add_argument("--socket", default=settings.POSTFIX_LOOKUPS_SOCKET)

    def handle(self, *_arguments: object, **options: Any) -> None:
        endpoint = configuration.endpoint(options["host"], options["port"], options["socket"])
        texts = {
            "main.cf": configuration.main_cf(
                endpoint,
                max_message_octets=settings.GATEWAY_MAX_MESSAGE_OCTETS,
                max_recipients=settings.GATEWAY_MAX_RECIPIENTS,
            ),
            "master.cf": configuration.MASTER_CF,
            "panel-mailboxes": configuration.MAILBOXES,
        }
        wanted = [options["file"]] if options["file"] else list(texts)
        self.stdout.write("\n".join(texts[name] for name in wanted), ending="")
