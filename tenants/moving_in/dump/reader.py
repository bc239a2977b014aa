"""Tokens to rows: INSERT statements and COPY blocks of the tables that are asked for.

Columns come from the statement itself, else from the table's CREATE TABLE. Everything else in a
dump is read over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from tenants.moving_in.dump.lexer import DumpError, Kind, Lexer, Token

Row = tuple[str | None, ...]
Schema = Mapping[str, Sequence[str]]  # the columns that are wanted of each table, in order

_NO_COLUMNS = frozenset(
    [
        "PRIMARY",
        "KEY",
        "UNIQUE",
        "CONSTRAINT",
        "INDEX",
        "FULLTEXT",
        "FOREIGN",
        "CHECK",
        "SPATIAL",
        "EXCLUDE",
        "LIKE",
        "PERIOD",
    ]
)
_COPY_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_COPY_MEANS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_rows(text: TextIO, schema: Schema) -> Iterator[tuple[str, Row]]:
    """Each row of a wanted table as its name and its wanted columns, None for what it has not.

    All values are texts as they stand in the dump, NULL is None. Raises DumpError.
    """
    reader = _Reader(Lexer(text), schema)
    while (token := reader.lexer.next()) is not None:
        yield from reader.statement(token)


class _Reader:
    """One pass over a dump; remembers the columns of the tables it has seen."""

    def __init__(self, lexer: Lexer, schema: Schema) -> None:
        self.lexer = lexer
        self._schema = schema
        self._columns: dict[str, list[str]] = {}

    def statement(self, first: Token) -> Iterator[tuple[str, Row]]:
        word = first.text.upper() if first.kind is Kind.WORD else ""
        if word in ("INSERT", "REPLACE"):
            yield from self._insert()
        elif word == "COPY":
            yield from self._copy()
        elif word == "CREATE":
            self._create()
        elif word == "DELIMITER":
            self._skip_programs()
        elif first.is_sign("\\"):
            self.lexer.line()  # a command of psql's
        else:
            self._skip(first)

    def _skip(self, token: Token | None) -> None:
        while token is not None and not token.is_sign(";"):
            token = self.lexer.next()

    def _skip_programs(self) -> None:
        """Triggers and procedures stand between two DELIMITER lines."""
        self.lexer.line()
        while (line := self.lexer.line()) is not None:
            if re.fullmatch(r"\s*DELIMITER\s+;\s*", line, re.IGNORECASE):
                return

    def _next(self) -> Token:
        token = self.lexer.next()
        if token is None:
            raise DumpError("The dump ends in the middle of a statement: it was cut off.")
        return token

    def _name(self, token: Token) -> tuple[str, Token]:
        """A table's name without its schema, and the token after it."""
        name = _last_part(token)
        while (after := self._next()).kind is Kind.NAME or after.text.startswith("."):
            name = _last_part(after) or _last_part(self._next())
        return name, after

    def _insert(self) -> Iterator[tuple[str, Row]]:
        token = self._next()
        while token.kind is Kind.WORD and token.text.upper() in ("IGNORE", "OR", "INTO", "REPLACE"):
            token = self._next()
        table, token = self._name(token)
        if table not in self._schema:
            return self._skip(token)
        columns = self._columns.get(table)
        if token.is_sign("("):
            columns, token = self._names(), self._next()
        if not token.is_word("VALUES"):
            return self._skip(token)
        pick = self._picker(table, columns)
        while token.is_word("VALUES") or token.is_sign(","):
            yield table, pick(self.lexer.row() or self._values())
            token = self._next()
        return self._skip(token)

    def _names(self) -> list[str]:
        names = []
        while not (token := self._next()).is_sign(")"):
            if not token.is_sign(","):
                names.append(token.text)
        return names

    def _values(self) -> list[str | None]:
        """The values of a row; what is an expression comes as its text."""
        if not (opened := self._next()).is_sign("("):
            raise DumpError(f"Where a row has to stand, the dump says “{opened.text[:40]}”.")
        values: list[str | None] = []
        value: list[Token] = []
        depth = 0
        while True:
            token = self._next()
            if depth == 0 and token.kind is Kind.OTHER and token.text in ",)":
                values.append(_value(value))
                value = []
                if token.text == ")":
                    return values
                continue
            depth += token.is_sign("(") - token.is_sign(")")
            value.append(token)

    def _picker(self, table: str, columns: list[str] | None) -> "_Picker":
        if columns is None:
            raise DumpError(
                f"The rows of table {table} come without column names, and its CREATE TABLE is "
                "missing: make the dump with the table's definition."
            )
        return _Picker(table, columns, self._schema[table])

    def _create(self) -> None:
        token = self._next()
        while token.kind is Kind.WORD and token.text.upper() in ("TEMPORARY", "UNLOGGED"):
            token = self._next()
        if not token.is_word("TABLE"):
            return self._skip(token)
        token = self._next()
        while token.kind is Kind.WORD and token.text.upper() in ("IF", "NOT", "EXISTS"):
            token = self._next()
        table, token = self._name(token)
        if token.is_sign("("):
            self._columns[table] = self._defined()
            token = self._next()
        return self._skip(token)

    def _defined(self) -> list[str]:
        """The names of the columns in a CREATE TABLE, up to its closing parenthesis."""
        columns: list[str] = []
        depth, is_first = 0, True
        while True:
            token = self._next()
            if depth == 0 and token.is_sign(")"):
                return columns
            depth += token.is_sign("(") - token.is_sign(")")
            if is_first and (token.kind is Kind.NAME or token.text.upper() not in _NO_COLUMNS):
                columns.append(token.text)
            is_first = depth == 0 and token.is_sign(",")

    def _copy(self) -> Iterator[tuple[str, Row]]:
        table, token = self._name(self._next())
        columns = self._columns.get(table)
        if token.is_sign("("):
            columns, token = self._names(), self._next()
        self._skip(token)
        self.lexer.line()
        pick = self._picker(table, columns) if table in self._schema else None
        while (line := self.lexer.line()) != "\\.":
            if line is None:
                raise DumpError(f"The dump ends in the middle of table {table}: it was cut off.")
            if pick is not None:
                yield table, pick([_copied(field) for field in line.split("\t")])


def _last_part(token: Token) -> str:
    return token.text if token.kind is Kind.NAME else token.text.rpartition(".")[2]


class _Picker:
    """Takes the wanted columns out of a row, in the wanted order."""

    def __init__(self, table: str, columns: Sequence[str], wanted: Sequence[str]) -> None:
        self._table, self._width = table, len(columns)
        self._places = [columns.index(name) if name in columns else None for name in wanted]

    def __call__(self, values: Sequence[str | None]) -> Row:
        if len(values) != self._width:
            raise DumpError(
                f"A row of table {self._table} has {len(values)} values for {self._width} columns."
            )
        return tuple(None if place is None else values[place] for place in self._places)


def _value(tokens: Sequence[Token]) -> str | None:
    if len(tokens) == 1 and tokens[0].is_word("NULL"):
        return None
    texts = [token.text for token in tokens if token.kind is Kind.STRING]
    return texts[0] if len(texts) == 1 else "".join(token.text for token in tokens)


def _copied(field: str) -> str | None:
    if field == "\\N":
        return None
    return _COPY_ESCAPE.sub(_copied_character, field) if "\\" in field else field


def _copied_character(found: re.Match[str]) -> str:
    """PostgreSQL's COPY, "Text Format"."""
    code = found[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _COPY_MEANS.get(code, code)
