"""`manage.py backup`: all that the database holds, of one moment, while mail goes on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from mailrouting import backup
from mailrouting.installation import database, progress, told


class Command(BaseCommand):
    help = "Write a backup: tenants, rules, history, records, and mail with its bodies."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "folder",
            nargs="?",
            type=Path,
            help="a new folder; without one, backups/<time> in the data folder",
        )

    def handle(self, *_arguments: object, folder: Path | None, **_options: object) -> None:
        now = datetime.now(UTC)
        chosen = folder or settings.DATA_DIR / "backups" / f"{now:%Y-%m-%dT%H%M%SZ}"
        with told(), database() as url:
            manifest = backup.back_up(url, chosen.absolute(), progress())
        self.stdout.write(
            f"{chosen}: {len(manifest.rows)} tables, {manifest.total_rows:,} rows, "
            f"{manifest.octets:,} octets.\n"
            "Settings and secrets (.env, SECRET_KEY) are not in it: keep them apart from it."
        )
