"""Rows in JSON (RFC 8259): an array of objects, read one at a time, printed one a line.

An object whose `rows` hold that array will do, too. An object's end is found before it is decoded,
so that nesting and size are bounded by what stands here and not by the decoder.
"""

import json
import re
from collections.abc import Iterator

from tenants.imports.errors import Unreadable
from tenants.imports.rows import (
    FIELDS,
    NAMED_BY,
    TENANT,
    TYPE,
    Kind,
    Refusal,
    Refused,
    Row,
    RowError,
    known_names,
    plain_name,
    read_row,
)

MAX_DEPTH = 4
ROW_MAX_CHARACTERS = 1_000_000
FORM = "Write an array of objects: [{“type”: “alias”, “address”: …}, …]."
_BLANK = re.compile(r"[ \t\r\n]*")
_ENVELOPE = re.compile(r'[ \t\r\n]*\{(?:[^\[\]{}]*,)?[ \t\r\n]*"rows"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"|[\[\]{}]|"', re.DOTALL)


def read(text: str, *, kind: Kind | None = None) -> Iterator[Row | Refused]:
    """The objects as rows, numbered from 1. Raises Unreadable, with the row where it ends."""
    envelope = _ENVELOPE.match(text, 0, 100_000)
    start = _skip(text, envelope.end() if envelope else 0)
    if text[start : start + 1] != "[":
        raise Unreadable(f"This is no list of rows. {FORM}")
    for number, item in enumerate(_items(text, start + 1), start=1):
        yield _row(number, item, kind)


def print_row(row: Row, *, has_tenant: bool) -> str:
    """One object, without a line end."""
    said: dict[str, object] = {TYPE: row.kind.value}
    if has_tenant or row.kind == Kind.TENANT:
        said[TENANT] = row.tenant if row.kind != Kind.TENANT else row.name
    if row.kind != Kind.TENANT:
        said[NAMED_BY[row.kind]] = row.name
    said |= {
        each.name: row.values[each.name] for each in FIELDS[row.kind] if each.name in row.values
    }
    return json.dumps(said, ensure_ascii=False)


def _items(text: str, start: int) -> Iterator[str]:
    """The text of each element of an array, from behind its bracket on."""
    position, number = _skip(text, start), 0
    while text[position : position + 1] != "]" or number:
        number += 1
        end = _end_of_object(text, position, number)
        yield text[position:end]
        position = _skip(text, end)
        follows = text[position : position + 1]
        if follows == "]":
            return
        if follows != ",":
            raise Unreadable(f"After row {number} a comma or the end of the list is missing.")
        position = _skip(text, position + 1)


def _end_of_object(text: str, start: int, number: int) -> int:
    if text[start : start + 1] != "{":
        raise Unreadable(f"Row {number} is no object. {FORM}")
    depth = 0
    for token in _TOKEN.finditer(text, start, start + ROW_MAX_CHARACTERS):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise Unreadable(f"Row {number} is nested deeper than {MAX_DEPTH} levels.")
        if depth == 0:
            return token.end()
    if len(text) - start > ROW_MAX_CHARACTERS:
        raise Unreadable(f"Row {number} is longer than {ROW_MAX_CHARACTERS:,} characters.")
    raise Unreadable(f"The file ends within row {number}: it is not whole.")


def _skip(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _row(number: int, item: str, kind: Kind | None) -> Row | Refused:
    try:
        return read_row(number, _cells(json.loads(item)), kind=kind)
    except RowError as error:
        return Refused(number, error.refusals)
    except ValueError as error:
        raise Unreadable(f"Row {number} is no JSON: {error}.") from None


def _cells(item: dict[str, object]) -> dict[str, object]:
    """The members under our own names. Raises RowError for names that mean nothing or the same."""
    known = known_names()
    cells: dict[str, object] = {}
    for name, raw in item.items():
        field = known.get(plain_name(name))
        if field is None:
            raise RowError(Refusal(name[:40], "There is no such field here: leave it out."))
        if field in cells:
            raise RowError(Refusal(field, "This is said twice: leave one of them out."))
        cells[field] = raw
    return cells
