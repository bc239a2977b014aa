"""`manage.py restore`: an empty database becomes the installation that was backed up."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from mailrouting import backup
from mailrouting.installation import database, known_migrations, migrate, progress, told


class Command(BaseCommand):
    help = (
        "Restore a backup into the configured database, which has to be empty. Mail that waited "
        "when the backup was made is held, since it may have been delivered afterwards."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("folder", type=Path, help="what `manage.py backup` wrote")
        parser.add_argument(
            "--keep-queue",
            action="store_true",
            help="let waiting mail go at once; safe where nothing ran after the backup was made",
        )

    def handle(
        self, *_arguments: object, folder: Path, keep_queue: bool, **_options: object
    ) -> None:
        with told(), database(may_be_new=True) as url:
            manifest = backup.restore(
                folder.absolute(), url, known_migrations(), progress(), keeps_queue=keep_queue
            )
            held = 0 if keep_queue else backup.count_held(url)
            migrate(url)
        self.stdout.write(
            f"Restored the backup of {manifest.made_at}: {len(manifest.rows)} tables, "
            f"{manifest.total_rows:,} rows, each table counted."
        )
        if held:
            self.stdout.write(
                f"{held:,} deliveries that waited are held: look through them in the panel "
                "(Deliveries, state held) and release or fail them."
            )
