"""Rows in CSV (RFC 4180): read forgivingly, printed so that they read back to the same rows.

A cell that a spreadsheet would take for a formula is printed behind an apostrophe, and read
without it. One apostrophe more for cells that begin with apostrophes already, so that nothing is
lost on the way.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from tenants.imports.errors import Unreadable
from tenants.imports.rows import (
    TENANT,
    TYPE,
    Kind,
    Refusal,
    Refused,
    Row,
    RowError,
    cells_of,
    columns_of,
    known_names,
    plain_name,
    read_row,
)

DELIMITERS = ",;\t|"
MAX_COLUMNS = 200
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_TO_QUOTE = re.compile(r'[",;|\t\r\n]|^\s|\s$')


def read(text: str, *, kind: Kind | None = None) -> Iterator[Row | Refused]:
    """The rows below the header line, numbered as a spreadsheet does. Raises Unreadable."""
    table = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header: list[str] | None = None
    number = 0
    for number, cells in enumerate(_lines(table), start=1):
        if header is None and any(cell.strip() for cell in cells):
            header = _header(cells)
        elif header is not None and any(cells):
            yield _row(number, header, cells, kind)
    if header is None:
        raise Unreadable("The file is empty: its first line has to name the columns.")


def has_header(begin: str) -> bool:
    """Whether a text begins with a line that names columns of ours."""
    line = begin.partition("\n")[0]
    names = [plain_name(name) for name in re.split(r"[,;\t|]", line)]
    return sum(name in known_names() for name in names) * 2 >= len(names)


def print_header(kinds: Sequence[Kind], *, has_tenant: bool) -> str:
    """The header line of a table with rows of these kinds."""
    return _line(_columns(kinds, has_tenant=has_tenant))


def print_row(row: Row, kinds: Sequence[Kind], *, has_tenant: bool) -> str:
    """One line, its cells in the order of the header for the same kinds."""
    cells = cells_of(row) | {TYPE: row.kind.value, TENANT: row.tenant}
    columns = _columns(kinds, has_tenant=has_tenant)
    return _line(guard(cells.get(column, "")) for column in columns)


def guard(cell: str) -> str:
    """The cell as no spreadsheet takes it for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def take_back(cell: str) -> str:
    """The cell before it was guarded."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _columns(kinds: Sequence[Kind], *, has_tenant: bool) -> list[str]:
    needs_tenant = has_tenant or Kind.TENANT in kinds
    return [TYPE, *([TENANT] if needs_tenant else []), *columns_of(kinds)]


def _line(cells: Iterable[str]) -> str:
    return ",".join(map(_quote, cells)) + "\r\n"


def _quote(cell: str) -> str:
    """Quoted wherever some program would part the cell, or its blanks would be lost."""
    return '"' + cell.replace('"', '""') + '"' if _TO_QUOTE.search(cell) else cell


def _delimiter(text: str) -> str:
    """The one that parts the header line into the most names of ours."""
    line = next((line for line in text.lstrip("\r\n").splitlines() if line.strip()), "")[:10_000]
    known = known_names()

    def found(delimiter: str) -> int:
        return sum(plain_name(name) in known for name in line.split(delimiter))

    return max(DELIMITERS, key=found)


def _lines(table: Iterator[list[str]]) -> Iterator[list[str]]:
    """The lines of a table; what is no CSV is told with the row where it stopped being that."""
    number = 0
    while True:
        number += 1
        try:
            yield next(table)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(
                f"Row {number} cannot be read ({error}): a quotation mark inside a quoted cell is "
                "written twice, and every quoted cell has to end."
            ) from None


def _header(cells: list[str]) -> list[str]:
    if len(cells) > MAX_COLUMNS:
        raise Unreadable(f"The first line has {len(cells):,} columns; {MAX_COLUMNS} are the most.")
    known = known_names()
    names = [known.get(plain_name(take_back(cell)), "") for cell in cells]
    unknown = [cell.strip()[:40] for cell, name in zip(cells, names, strict=True) if not name]
    if any(unknown) or not any(names):
        listed = ", ".join(f"“{name}”" for name in unknown[:5] if name)
        raise Unreadable(
            f"The first line has to name the columns; {listed} is no name of a column here. "
            "Leave that column out, or export a list to see the names."
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise Unreadable(f"Two columns mean “{twice[0]}”: leave one of them out.")
    return names


def _row(number: int, header: list[str], cells: list[str], kind: Kind | None) -> Row | Refused:
    named = dict(zip(header, map(take_back, cells), strict=False))
    named.pop("", None)
    shown = next((named[name] for name in ("address", "domain", "name") if named.get(name)), "")
    try:
        if len(cells) > len(header) and any(cells[len(header) :]):
            told = f"The row has {len(cells)} cells and the first line {len(header)}"
            raise RowError(Refusal("", f"{told}: quote cells that hold a delimiter."))
        return read_row(number, named, kind=kind)
    except RowError as error:
        return Refused(number, error.refusals, shown[:320])
