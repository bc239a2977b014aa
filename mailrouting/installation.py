"""Where this installation's database is, for the commands that work on all of it.

They open it by its address alone: settings were read before there may have been a database.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import CommandError
from django.db.migrations.loader import MigrationLoader

from mailrouting.backup import BackupError
from mailrouting.children import StartError
from mailrouting.embedded import REPOSITORY
from mailrouting.postgres import at_hand
from mailrouting.progress import Bar

SCHEMES = ("postgresql", "postgres")


@contextmanager
def database(*, may_be_new: bool = False) -> Iterator[str]:
    """The address of the configured database; the embedded one is started unless it runs."""
    configured = os.environ.get("DATABASE_URL", "")
    if not (configured or may_be_new or has_embedded()):
        raise BackupError(f"{settings.DATA_DIR} holds no database: set DATA_DIR or DATABASE_URL.")
    with nullcontext(configured) if configured else at_hand(settings.DATA_DIR) as url:
        yield url


@contextmanager
def told() -> Iterator[None]:
    """What is in the way is said in its sentence, without a traceback."""
    try:
        yield
    except (BackupError, StartError) as error:
        raise CommandError(str(error)) from None


def has_embedded() -> bool:
    """Whether the data folder holds a cluster."""
    return (settings.DATA_DIR / "postgres").exists()


def known_migrations() -> set[str]:
    """All that this version brings, as app.name."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {f"{app}.{name}" for app, name in loader.disk_migrations}


def migrate(url: str) -> None:
    """Bring a database to this version."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": url, "SECRET_KEY": settings.SECRET_KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-1:])
        raise CommandError(f"The database was restored, but not brought up to date: {last}")


def is_postgresql(url: str) -> bool:
    return urlsplit(url).scheme in SCHEMES


def progress() -> Callable[[int, int, str], None]:
    """What shows a command's progress, on one line."""
    bars: list[Bar] = []

    def say(done: int, total: int, text: str) -> None:
        bars[:] = bars or [Bar(total)]
        bars[0].advance(done - bars[0].done, text)
        if done >= total:
            bars[0].end()

    return say
