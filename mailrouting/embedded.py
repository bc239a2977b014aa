"""Where the try-out keeps its data, and how that is reached.

Settings import this file, so it needs the standard library alone and starts
nothing: it only names paths, reads the password that `mailrouting.postgres`
left there, and keeps the secrets that are made on first use.
"""

import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parent.parent
ROLE = "mailrouting"
# The address of a Unix socket holds 107 octets; the file's name takes 20 of them.
LONGEST_SOCKET_FOLDER_OCTETS = 80


def data_root() -> Path:
    """The folder of everything the try-out stores: DATA_DIR, or one per checkout.

    As root it lies below /var/lib, since PostgreSQL then runs under another
    account that could not enter a checkout in a private home.
    """
    if chosen := os.environ.get("DATA_DIR"):
        return Path(chosen).expanduser().absolute()
    if os.geteuid() != 0:
        return REPOSITORY / "var"
    return Path("/var/lib/mailrouting") / _digest(REPOSITORY)


def make_root(root: Path) -> None:
    """Create the data folder; root's may be passed through, but not listed, by others."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for folder in reversed((root, *root.parents)):
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(mode)


def password_file(root: Path) -> Path:
    """The file that holds the password of the embedded PostgreSQL."""
    return root / "postgres.password"


def socket_folder(root: Path) -> Path:
    """The folder of PostgreSQL's socket: in the data folder unless its path is too long."""
    inside = root / "run"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER_OCTETS:
        return inside
    return Path("/tmp") / f"{ROLE}-{_digest(root)}"  # noqa: S108 - its owner is checked at start


def database_url(root: Path | None = None) -> str:
    """The address of the embedded database, in the form that libpq and Django both read.

    Where no cluster was made yet, it is well-formed and nothing answers there.
    """
    root = root or data_root()
    try:
        password = password_file(root).read_text().strip()
    except FileNotFoundError:
        password = "none"  # noqa: S105 - there is no cluster
    return f"postgresql://{ROLE}:{password}@/{ROLE}?host={quote(str(socket_folder(root)))}"


def secret_key(root: Path | None = None) -> str:
    """Django's secret key of the try-out, random and kept in the data folder."""
    return keep_secret((root or data_root()) / "secret_key")


def keep_secret(path: Path) -> str:
    """The random text in `path`, made on first use; of two processes the first one wins."""
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    make_root(path.parent)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as fresh:  # created 0600
        fresh.write(secrets.token_urlsafe(48))
        fresh.flush()
        with suppress(FileExistsError):
            os.link(fresh.name, path)
    return path.read_text().strip()


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
