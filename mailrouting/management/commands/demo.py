"""`manage.py demo`: send the demonstration's messages to a running installation, print a table."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mailrouting import demo
from mailrouting.demo import Row

WIDTHS = (30, 46, 40, 44)


class Command(BaseCommand):
    help = "Send real messages, show reply, deciding rule and delivery of each, check them all."
    requires_system_checks: list[str] = []

    def handle(self, *_arguments: object, **_options: object) -> None:
        with demo.mail_store() as (store, port):
            demo.prepare(port)
            self.stdout.write("Waiting for the scheduled job that expires addresses ...")
            try:
                demo.wait_for(demo.beat_has_expired_an_address, "beat to expire moment@")
                rows = self._show(demo.run(settings.GATEWAY_HOST, settings.GATEWAY_PORT, store))
            except (TimeoutError, OSError) as error:
                raise CommandError(str(error)) from error
        wrong = [row for row in rows if not row.is_as_expected]
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(rows)} messages did not go as expected.")
        self.stdout.write(self.style.SUCCESS(f"All {len(rows)} messages went as expected."))

    def _show(self, rows: Any) -> list[Row]:
        self.stdout.write(_line("ADDRESS", "REPLY", "DECIDED BY", "DELIVERED TO"))
        shown = []
        for row in rows:
            mark = "" if row.is_as_expected else self.style.ERROR("  <- not as expected")
            line = _line(row.case.recipient, row.reply, row.rule or "-", row.delivered or "-")
            self.stdout.write(line + mark)
            shown.append(row)
        return shown


def _line(*cells: str) -> str:
    return "  ".join(
        (cell if len(cell) <= width else f"{cell[: width - 1]}…").ljust(width)
        for cell, width in zip(cells, WIDTHS, strict=True)
    ).rstrip()
