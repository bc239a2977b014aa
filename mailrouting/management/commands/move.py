"""`manage.py move`: from the embedded PostgreSQL to one of your own, with everything in it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mailrouting import backup
from mailrouting.children import hold
from mailrouting.embedded import make_root
from mailrouting.installation import has_embedded, is_postgresql, known_migrations, progress, told
from mailrouting.postgres import cluster


class Command(BaseCommand):
    help = (
        "Move the try-out to a PostgreSQL of your own: an empty database, 15 or newer. Stop "
        "`make run` first; senders keep their mail meanwhile. The old data stays where it is."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("url", help="postgresql://user:password@host/name of the new home")

    def handle(self, *_arguments: object, url: str, **_options: object) -> None:
        if os.environ.get("DATABASE_URL"):
            raise CommandError(
                "DATABASE_URL is set, so this installation has a database of its own already: "
                "use backup and restore."
            )
        if not is_postgresql(url):
            raise CommandError("The new home is written postgresql://user:password@host/name.")
        root: Path = settings.DATA_DIR
        if not has_embedded():
            raise CommandError(f"There is nothing to move: {root} holds no database.")
        with told(), _still(root), tempfile.TemporaryDirectory(dir=root) as folder:
            backup.require_empty(url)
            copy = Path(folder) / "copy"
            with cluster(root) as source:
                self.stdout.write("Reading the embedded database ...")
                backup.back_up(source, copy, progress())
            self.stdout.write("Writing the new one ...")
            manifest = backup.restore(copy, url, known_migrations(), progress(), keeps_queue=True)
            environment = _write_environment(root, url)
        self.stdout.write(
            f"{len(manifest.rows)} tables with {manifest.total_rows:,} rows are there, each table "
            f"counted.\nThe settings for the new home stand in {environment}: put them into .env, "
            "and start as docs/operating.md says.\n"
            "Do not run `make run` without them any more: it would go on with the old data."
        )


@contextmanager
def _still(root: Path) -> Iterator[None]:
    """Nothing of the try-out runs meanwhile."""
    make_root(root)
    with hold(root, "up"):
        yield


def _write_environment(root: Path, url: str) -> Path:
    """DATABASE_URL, and the key that return paths and sessions were made with."""
    path = root / "moved.env"
    path.touch(mode=0o600)
    lines = {"DATABASE_URL": url, "SECRET_KEY": settings.SECRET_KEY}
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    return path
