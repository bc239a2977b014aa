"""PostgreSQL servers that outlive one another: a base backup, a standby, a recovery to a moment.

Each is a cluster as the try-out makes it, in a folder of its own, with what an administrator adds
in `postgresql.auto.conf`. All of them listen on Unix sockets alone.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import quote

import psycopg

from mailrouting import postgres
from mailrouting.embedded import ROLE, database_url, make_root, password_file, socket_folder
from tests.e2e.stack import children_of
from tests.waiting import wait_until


def copy(source: Path, root: Path) -> None:
    """The same cluster once more; neither may run."""
    make_root(root)
    shutil.copytree(source / "postgres", root / "postgres", symlinks=True)
    _share(source, root)


def configure(root: Path, **settings: str) -> None:
    """What the server reads at its next start."""
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    with (root / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.writelines(lines)


def folder_for(root: Path, name: str) -> Path:
    """A folder that the account of the server in `root` may write to."""
    folder = root / name
    folder.mkdir(mode=0o700)
    owner = (root / "postgres").stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    return folder


def base_backup(source: Path, root: Path, *options: str) -> None:
    """A copy of the running cluster in `source`, as `pg_basebackup` makes it."""
    make_root(root)
    program = postgres.find_program("pg_basebackup", postgres.OLDEST_MAJOR)
    subprocess.run(
        [program, "-D", root / "postgres", "-c", "fast", "--no-sync", *options, "-d", _url(source)],
        check=True,
        capture_output=True,
    )
    _share(source, root)


def signal_file(root: Path, name: str) -> None:
    """An empty file by which the server knows what it is started for."""
    (root / "postgres" / name).touch()
    _own_as(root, root)


def ask(root: Path, statement: LiteralString, *values: Any) -> Any:
    """The first value that the superuser gets."""
    with psycopg.connect(_url(root), autocommit=True) as session:
        cursor = session.execute(statement, values)
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def kill(server: postgres.Server) -> None:
    """SIGKILL to its first process, which all others follow."""
    [pid] = children_of(server.child.leash.pid)
    os.kill(pid, signal.SIGKILL)
    assert server.child.has_ended(within_seconds=20)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that neither works nor ends for as long."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_for(root: Path, is_so: LiteralString) -> None:
    wait_until(lambda: bool(ask(root, is_so)))


def either_url(*roots: Path) -> str:
    """Whichever of these servers takes writes, as an operator would name them."""
    _, _, rest = database_url(roots[0]).partition("//")
    hosts = ",".join(quote(str(socket_folder(root))) for root in roots)
    return f"postgresql://{rest.partition('?')[0]}?host={hosts}&target_session_attrs=read-write"


def _url(root: Path) -> str:
    return (
        database_url(root).replace(f"//{ROLE}:", "//postgres:").replace(f"/{ROLE}?", "/postgres?")
    )


def _share(source: Path, root: Path) -> None:
    """Password, account and programs of the cluster in `source` for the copy in `root`."""
    shutil.copy2(password_file(source), password_file(root))
    if (source / "programs").exists():
        (root / "programs").symlink_to((source / "programs").resolve())
    _own_as(source, root)


def _own_as(source: Path, root: Path) -> None:
    """Let the server's files belong to the account that runs the one in `source`."""
    owner = (source / "postgres").stat()
    for folder, _, names in os.walk(root / "postgres"):
        for path in (folder, *(Path(folder, name) for name in names)):
            os.chown(path, owner.st_uid, owner.st_gid)
