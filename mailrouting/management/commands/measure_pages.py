"""`manage.py measure_pages`: open the panel's pages as staff, and say how long each takes."""

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.test import Client
from django.test.utils import override_settings

from gateway.models import RoutingRecord
from mailrouting import page_times
from mailrouting.page_times import Timing
from mailrouting.progress import Bar
from tenants.models import Alias

SLOW_MS = 300


class Command(BaseCommand):
    help = (
        "Open every list of the panel, with each filter, order and search, and print how long that "
        "takes. Nothing stays of it; it is best run on what make_fixture made."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--times", type=int, default=5, help="how often each is opened (5)")
        parser.add_argument("--only", default="", help="the lists whose name begins like this")
        parser.add_argument("--write", type=Path, help="a guide whose table is to be replaced")

    def handle(
        self, *_arguments: object, times: int, only: str, write: Path | None, **_options: object
    ) -> None:
        with transaction.atomic(), override_settings(STAFF_MFA_REQUIRED=False), _quiet():
            timings = self._measure(times, only)
            transaction.set_rollback(True)  # the user and the session were made for this alone
        rows = list(page_times.table(timings))
        for row in rows:
            self.stdout.write("  ".join(cell[:40].ljust(width) for cell, width in _aligned(row)))
        self._name_slow(timings)
        if write is not None:
            self._write(write, rows)

    def _measure(self, times: int, only: str) -> list[Timing]:
        user = User.objects.create_superuser("measure-pages")
        client = Client(SERVER_NAME="localhost")
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        pages = [page for page in page_times.pages(client) if page.group.startswith(only)]
        bar = Bar(len(pages))
        timings = []
        for page in pages:
            timings.append(page_times.measure(client, page, times))
            bar.advance(1, f"{page.group} {page.detail}")
        bar.end()
        return timings

    def _name_slow(self, timings: list[Timing]) -> None:
        for timing in timings:
            if timing.median > SLOW_MS:
                text = f"{timing.median:.0f} ms  {timing.page.group}: {timing.page.url}"
                self.stdout.write(self.style.WARNING(text))

    def _write(self, guide: Path, rows: list[tuple[str, ...]]) -> None:
        try:
            text = page_times.put_between_marks(guide.read_text(), _told(rows))
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        guide.write_text(text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Two lines of log a page would bury the bar."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        structlog.configure(**before)


def _told(rows: list[tuple[str, ...]]) -> str:
    number = connection.pg_version // 10_000 if hasattr(connection, "pg_version") else 0
    about = (
        f"{_about(Alias):,} aliases and {_about(RoutingRecord):,} routing records, "
        f"PostgreSQL {number}, Python {platform.python_version()}."
    )
    return page_times.markdown(rows, about)


def _about(model: Any) -> int:
    """How many rows there are about, as the planner has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [model._meta.db_table])
        [rows] = cursor.fetchone()
    return int(round(rows, -4)) if rows > 100_000 else int(rows)


def _aligned(row: tuple[str, ...]) -> list[tuple[str, int]]:
    return list(zip(row, (22, 22, 6, 6, 6, 40, 3), strict=True))
