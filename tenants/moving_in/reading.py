"""From what an operator has (a dump, map files, a database's URL) to an Inventory.

Files are read as they come, packed ones too; what is no dump is told in one sentence.
"""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from tenants.moving_in.dump import read_rows
from tenants.moving_in.inventory import Inventory, only_domains
from tenants.moving_in.sources import PRODUCTS, collect, maps
from tenants.moving_in.sources.databases import (
    Unreachable,
    read_database,
    require_address,
    without_password,
)
from tenants.moving_in.sources.source import NotThisProduct
from tenants.octets import print_octets

MAPS = "maps"
_GZIP, _SQLITE, _CUSTOM = b"\x1f\x8b", b"SQLite format 3\x00", b"PGDMP"
BUFFER_OCTETS = 65_536
TOO_LONG = (
    "It holds more than {most} unpacked, the most that is read through the panel: read it with "
    "`manage.py move_in`, or compare with `manage.py shadow`."
)
NO_PLAIN_DUMP = (
    "This is pg_dump's own format: make the dump as plain text (pg_dump --format=plain)."
)
NO_DATABASE_FILE = (
    "This is a SQLite database, no dump: write one (sqlite3 file .dump), or give its path to "
    "`manage.py move_in`."
)


class UnreadableSource(ValueError):
    """The source as a whole cannot be read; the message is for an operator."""


class TooLongError(UnreadableSource):
    """There is more of it than is taken."""


def read_dump(
    product: str, octets: IO[bytes], *, domains: Sequence[str] = (), most_octets: int | None = None
) -> Inventory:
    """The inventory of a dump, as plain text or packed by gzip; at most so many octets unpacked.

    Raises UnreadableSource.
    """
    kind = PRODUCTS[product]
    try:
        with as_text(octets, most_octets=most_octets) as text:
            return only_domains(collect(kind, read_rows(text, kind.schema)), domains)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableSource("The packed file is broken or cut off.") from error
    except ValueError as error:  # DumpError, NotThisProduct, or a value that is none of its kind
        raise UnreadableSource(str(error)) from error


def read_live(product: str, url: str, *, domains: Sequence[str] = ()) -> Inventory:
    """The inventory of a database, read once and read-only. Raises UnreadableSource."""
    kind = PRODUCTS[product]
    try:
        return only_domains(collect(kind, read_database(url, kind.schema)), domains)
    except (Unreachable, NotThisProduct) as error:
        raise UnreadableSource(str(error)) from error


def require_database(url: str) -> None:
    """Raises UnreadableSource where the URL names no database. Nobody is asked."""
    try:
        require_address(url)
    except Unreachable as error:
        raise UnreadableSource(str(error)) from error


def read_maps(
    files: Mapping[str, IO[bytes]],
    *,
    domains: Sequence[str] = (),
    most_octets: int | None = None,
) -> Inventory:
    """The inventory of Postfix's map files, by their parameter in main.cf; each as read_dump does.

    Raises UnreadableSource.
    """
    if unknown := files.keys() - set(maps.Map):
        raise UnreadableSource(f"“{min(unknown)}” is none of {', '.join(maps.Map)}.")
    with ExitStack() as stack:
        given = {
            maps.Map(name): stack.enter_context(as_text(each, most_octets=most_octets))
            for name, each in files.items()
        }
        inventory = only_domains(maps.take(given), domains)
    if not inventory.domains:
        names = f"{maps.Map.DOMAINS}, {maps.Map.ALIAS_DOMAINS} or {maps.Map.RELAY_DOMAINS}"
        raise UnreadableSource(f"No domain is named: give the file of {names} too.")
    return inventory


def open_maps(pairs: Sequence[str], *, domains: Sequence[str] = ()) -> Inventory:
    """The inventory of `parameter=path` pairs. Raises UnreadableSource."""
    with ExitStack() as stack:
        files = {}
        for pair in pairs:
            name, _, path = pair.partition("=")
            try:
                files[name] = stack.enter_context(Path(path).open("rb"))
            except OSError as error:
                raise UnreadableSource(f"{pair}: {error.strerror}.") from error
        return read_maps(files, domains=domains)


def shown(where: Sequence[str]) -> str:
    """What was read, as it may be kept and shown: without passwords and folders."""
    return ", ".join(without_password(each) if "://" in each else Path(each).name for each in where)


def read_path(product: str, where: str, *, domains: Sequence[str] = ()) -> Inventory:
    """The inventory of a file's path or a database's URL. Raises UnreadableSource."""
    if "://" in where:
        return read_live(product, where, domains=domains)
    try:
        with Path(where).open("rb") as octets:
            begin = octets.read(len(_SQLITE))
            octets.seek(0)
            if begin == _SQLITE:
                return read_live(product, f"sqlite://{Path(where).absolute()}", domains=domains)
            return read_dump(product, octets, domains=domains)
    except OSError as error:
        raise UnreadableSource(f"{where}: {error.strerror}.") from error


def is_longer(octets: IO[bytes], most_octets: int) -> bool:
    """Whether a file has more octets than this unpacked; not known of a broken one, which is read
    to say so. The file is wound back. Raises UnreadableSource for what is no text.
    """
    try:
        with as_text(octets, most_octets=most_octets) as text:
            while text.read(BUFFER_OCTETS):
                continue
    except TooLongError:
        return True
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    finally:
        octets.seek(0)
    return False


class _Bounded(io.RawIOBase):
    """A file that ends with TooLongError where more comes out of it than is taken."""

    def __init__(self, octets: IO[bytes], most_octets: int) -> None:
        self._octets, self._most, self._left = octets, most_octets, most_octets

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._octets.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise TooLongError(TOO_LONG.format(most=print_octets(self._most)))
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def as_text(octets: IO[bytes], *, most_octets: int | None = None) -> Iterator[TextIO]:
    """The text of a file, unpacked. Octets that are no UTF-8 become the replacement character.

    The file stays open. Raises UnreadableSource for what is no text, and, also midway, for what
    has more octets unpacked; None takes all of it.
    """
    begin = octets.read(len(_SQLITE))
    octets.seek(0)
    if begin == _SQLITE:
        raise UnreadableSource(NO_DATABASE_FILE)
    if begin.startswith(_CUSTOM):
        raise UnreadableSource(NO_PLAIN_DUMP)
    plain: Any = gzip.open(octets) if begin.startswith(_GZIP) else octets  # noqa: SIM115
    if most_octets is not None:
        plain = io.BufferedReader(_Bounded(plain, most_octets), BUFFER_OCTETS)
    text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="\n")
    try:
        yield text
    finally:
        text.detach()
