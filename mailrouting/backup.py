"""Backups: a folder with all that the database holds, mail included, and what proves it whole.

PostgreSQL's own programs read and write the rows; here stand the order of things and the checks.
A folder gets its name once it is complete, and a restore happens wholly or not at all. Secrets of
the environment are no part of it.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from mailrouting.postgres import find_program

FORM = 1
DUMP, MANIFEST = "database.dump", "manifest.json"
CHUNK_OCTETS = 1024 * 1024
TABLES: LiteralString = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
# What pg_dump writes one after the other: partitions, but not the tables that they belong to.
DUMPED: LiteralString = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r'
"""
APPLIED: LiteralString = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"
WAITED: LiteralString = "waited when the backup was made; it may have been delivered since"
# Ends the transaction of a restore: no worker ever sees these deliveries wait.
HOLD_QUEUE: LiteralString = f"""
UPDATE public.gateway_delivery
SET state = 'held', last_reply = '{WAITED}', lease_until = NULL, fence = fence + 1
WHERE state IN ('pending', 'deferred', 'sending');
"""  # noqa: S608 - of constants
HELD: LiteralString = (
    "SELECT count(*) FROM gateway_delivery WHERE state = 'held' AND last_reply = %s"
)
# Settings of a dump that only newer servers know (17 and on), and that matter to none.
NEWER_SETTINGS = (b"SET transaction_timeout",)
# libpq's variables, so that no password stands in a command line.
VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "service": "PGSERVICE",
}

Say = Callable[[int, int, str], None]
"""Told of progress: what is done of how much, and what is worked on."""


class BackupError(Exception):
    """One sentence for the operator: what is in the way, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: rows by table, the migrations behind them, the dump's size and hash."""

    form: int
    made_at: str  # RFC 3339, UTC
    server: str  # PostgreSQL's version, as "18.4"
    migrations: list[str]
    rows: dict[str, int]
    octets: int
    sha256: str

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())


def back_up(url: str, folder: Path, say: Say) -> Manifest:
    """Write a backup of one moment, while the installation runs on. Raises BackupError."""
    if folder.exists():
        raise BackupError(f"{folder} exists already: choose another name.")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=0o700, parents=True)
        with _moment(url) as (session, snapshot):
            rows = count_rows(session)
            if not rows:
                raise BackupError("The database is empty: there is nothing to back up.")
            server = _version(session)
            migrations = _texts(session, APPLIED)
            dump, tables = partial / DUMP, len(_texts(session, DUMPED))
            _dump(url, dump, snapshot, tables, say, major=_major(server))
        manifest = Manifest(
            FORM,
            datetime.now(UTC).isoformat(timespec="seconds"),
            server,
            migrations,
            rows,
            dump.stat().st_size,
            _hash(dump),
        )
        (partial / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        partial.rename(folder)
    except OSError as error:
        raise BackupError(f"{folder} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What the backup in the folder holds, once its dump is whole. Raises BackupError."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text()))
        is_whole = manifest.form == FORM and _hash(folder / DUMP) == manifest.sha256
    except FileNotFoundError as error:
        raise BackupError(f"{folder} is no backup: {error.filename} is missing.") from None
    except (TypeError, ValueError):
        raise BackupError(f"{folder / MANIFEST} is damaged: take another backup.") from None
    if not is_whole:
        raise BackupError(f"{folder / DUMP} is damaged: take another backup.")
    return manifest


def restore(
    folder: Path, url: str, known: set[str], say: Say, *, keeps_queue: bool = False
) -> Manifest:
    """Fill an empty database from a backup, wholly or not at all. Raises BackupError.

    `known` are the migrations of this version; a backup of a newer one is refused. What waited
    when the backup was made is held from the first moment on, unless the queue is kept.
    """
    manifest = read_manifest(folder)
    if newer := sorted(set(manifest.migrations) - known):
        raise BackupError(
            f"The backup was made by a newer version, which knows {newer[0]}: install that first."
        )
    server = max(require_empty(url), _major(manifest.server))
    ending = "" if keeps_queue else HOLD_QUEUE
    _restore(url, folder / DUMP, say, ending=ending, major=server)
    _compare(url, manifest)
    return manifest


def require_empty(url: str) -> int:
    """The major version of a server whose database holds no table yet. Raises BackupError."""
    with _answering(url) as session:
        if _texts(session, TABLES):
            raise BackupError(
                "The database holds tables already: restore into an empty one "
                "(`createdb`, or a new DATA_DIR)."
            )
        return _major(_version(session))


def count_held(url: str) -> int:
    """How many deliveries a restore has kept back. Raises BackupError."""
    with _answering(url) as session:
        row = session.execute(HELD, [WAITED]).fetchone()
    return int(row[0]) if row else 0


def count_rows(session: "psycopg.Connection[Any]") -> dict[str, int]:
    """The rows of every table of ours, those of partitions with their table's."""
    return {name: _count(session, name) for name in _texts(session, TABLES)}


def _count(session: "psycopg.Connection[Any]", table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", table))
    row = session.execute(query).fetchone()
    return int(row[0]) if row else 0


def _compare(url: str, manifest: Manifest) -> None:
    with _answering(url) as session:
        found = count_rows(session)
    differing = sorted(name for name in manifest.rows if found.get(name) != manifest.rows[name])
    if differing:
        raise BackupError(
            f"The restored database lacks rows in {', '.join(differing)}: do not use it."
        )


@contextmanager
def _moment(url: str) -> Iterator[tuple["psycopg.Connection[Any]", str]]:
    """A session that sees one moment, and the name under which others see the same."""
    with _answering(url) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield session, _texts(session, "SELECT pg_export_snapshot()")[0]


@contextmanager
def _answering(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """A session; a server that is away, or goes away meanwhile, is said in a sentence."""
    try:
        with psycopg.connect(url) as session:
            yield session
    except psycopg.OperationalError as error:
        raise BackupError(f"The database does not answer: {error}") from None


def _dump(url: str, dump: Path, snapshot: str, tables: int, say: Say, *, major: int) -> None:
    command = [
        *(str(find_program("pg_dump", major)), "--format=custom", "--no-owner", "--no-privileges"),
        *(f"--snapshot={snapshot}", "--verbose", f"--file={dump}"),
    ]
    lines = (line for line in _run(command, url) if "dumping contents of table" in line)
    for done, line in enumerate(lines, 1):
        say(min(done, tables), tables, line.rpartition("table ")[2].strip('"'))
    dump.chmod(0o600)


def _restore(url: str, dump: Path, say: Say, *, ending: str, major: int) -> None:
    """Through psql, so that a server older than the backup's need not know all of its settings.

    The ending is a statement after the last one of the dump, in the same transaction.
    """
    program = str(find_program("pg_restore", major))
    total = _count_entries(program, dump)
    command = [program, "--no-owner", "--no-privileges", "--verbose", "--file=-", str(dump)]
    with _writer(url, major) as writer:
        lines = _run(command, url, into=writer)
        doing = (line for line in lines if "creating" in line or "processing" in line)
        for done, line in enumerate(doing, 1):
            say(min(done, total), total, line.partition(": ")[2])
        with suppress(BrokenPipeError):  # the writer has ended, and says why
            writer.write(ending.encode())


def _count_entries(program: str, dump: Path) -> int:
    listed = subprocess.run([program, "--list", dump], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise BackupError(f"pg_restore failed: {listed.stderr.strip()}")
    return sum(1 for line in listed.stdout.splitlines() if line and not line.startswith(";"))


@contextmanager
def _writer(url: str, major: int) -> Iterator[IO[bytes]]:
    """What executes the statements written to it, all or none. Raises BackupError."""
    command = [
        *(str(find_program("psql", major)), "--no-psqlrc", "--quiet", "--output=/dev/null"),
        *("--single-transaction", "--set=ON_ERROR_STOP=1"),
    ]
    with (
        TemporaryFile() as said,
        subprocess.Popen(
            command, env=_environment(url), stdin=subprocess.PIPE, stderr=said
        ) as process,
    ):
        try:
            yield cast("IO[bytes]", process.stdin)
        except BaseException:
            process.kill()  # at the end of what it reads it would commit
            raise
        with suppress(BrokenPipeError):
            process.communicate()
        if process.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-2:]
            raise BackupError(f"The rows were not written, nothing has changed: {' '.join(last)}")


def _run(command: list[str], url: str, *, into: IO[bytes] | None = None) -> Iterator[str]:
    """The lines that a program says, as it says them; what it writes goes into a file, if any.

    Raises BackupError with its last lines.
    """
    last: list[str] = []
    with subprocess.Popen(
        command, env=_environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        copying = Thread(target=_copy, args=(process.stdout, into))
        copying.start()
        for line in process.stderr or ():
            text = line.decode(errors="replace").strip()
            last = [*last[-2:], text]
            yield text
        copying.join()
    if process.returncode:
        raise BackupError(f"{Path(command[0]).name} failed: {' '.join(last)}")


def _copy(source: IO[bytes], into: IO[bytes] | None) -> None:
    """Pass statements on; whatever is left is read, so that the program can end."""
    if into is not None:
        with suppress(BrokenPipeError):  # the writer has ended, and says why
            _pass_on(source, into)
    while source.read(CHUNK_OCTETS):
        pass


def _pass_on(source: IO[bytes], into: IO[bytes]) -> None:
    """All but what older servers do not know; settings stand in the first lines."""
    while (line := source.readline()) and not line.startswith(b"SELECT pg_catalog.set_config"):
        if not line.startswith(NEWER_SETTINGS):
            into.write(line)
    into.write(line)
    shutil.copyfileobj(source, into, CHUNK_OCTETS)


def _environment(url: str) -> Mapping[str, str]:
    given = conninfo_to_dict(url)
    said = {VARIABLES[name]: str(value) for name, value in given.items() if name in VARIABLES}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | said


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while octets := file.read(CHUNK_OCTETS):
            digest.update(octets)
    return digest.hexdigest()


def _texts(session: "psycopg.Connection[Any]", query: LiteralString) -> list[str]:
    return [text for (text,) in session.execute(query)]


def _version(session: "psycopg.Connection[Any]") -> str:
    number = session.info.server_version
    return f"{number // 10_000}.{number % 10_000}"


def _major(version: str) -> int:
    return int(version.partition(".")[0])
