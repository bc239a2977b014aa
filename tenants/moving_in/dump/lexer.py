"""SQL text to tokens, piece by piece: strings, names, words and signs. Comments are read over.

A token that reaches the end of what has been read so far is looked at again once more is there.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, TextIO

PIECE = 64 * 1024  # characters read at once
LONGEST = 64 * 1024 * 1024  # characters of one value; MySQL's own packets end far below

_COMMON = r"""
    (?P<space>\s++|--[^\n]*+(?:\n|\Z)|/\*.*?\*/{hash})
  | (?P<dollar>\$(?P<tag>\w*+)\$.*?\$(?P=tag)\$)
  | (?P<escaped>[eE]'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*'(?!'))
  | (?P<string>{string})
  | (?P<name>`[^`]*+(?:``[^`]*+)*`(?!`)|"[^"]*+(?:""[^"]*+)*"(?!"))
  | (?P<word>(?![eE]')[\w.+-]++)
  | (?P<other>.)
"""
# Groups are not possessive: those match wrongly before Python 3.11.5 (CPython issue 106052). That
# no quote follows the last one keeps half of a doubled one from ending a string.
_BACKSLASHES = r"'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*'(?!')"
_PLAIN = r"'[^']*+(?:''[^']*+)*'(?!')"
_FLAGS = re.VERBOSE | re.DOTALL
MYSQL = re.compile(_COMMON.format(hash=r"|\#[^\n]*+(?:\n|\Z)", string=_BACKSLASHES), _FLAGS)
STANDARD = re.compile(_COMMON.format(hash="", string=_PLAIN), _FLAGS)
_STANDARD_SIGNS = ("PostgreSQL database dump", "PRAGMA foreign_keys", "\\restrict ")
_OPENS_WHAT_MUST_CLOSE = re.compile(r"[eE]?['`\"]|/\*|\$\w*(?:\$|\Z)")

_PLAIN_VALUE = r"(?:{string}|[\w.+-]++)"
_ROW = r"\s*+\(({value}(?:\s*+,\s*+{value})*)\)"

_ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
_MEANS = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


def _rows_of(string: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of a whole row of strings and words, and of one value in it."""
    value = _PLAIN_VALUE.format(string=string)
    return re.compile(_ROW.format(value=value), re.DOTALL), re.compile(value, re.DOTALL)


MYSQL_ROWS, STANDARD_ROWS = _rows_of(_BACKSLASHES), _rows_of(_PLAIN)


class DumpError(ValueError):
    """The text is no dump that can be read; the message says where it stopped being one."""


class Kind(StrEnum):
    STRING = "string"
    NAME = "name"  # quoted
    WORD = "word"  # keywords, numbers, names without quotes
    OTHER = "other"  # one character


class Token(NamedTuple):
    kind: Kind
    text: str

    def is_word(self, word: str) -> bool:
        return self.kind is Kind.WORD and self.text.upper() == word

    def is_sign(self, sign: str) -> bool:
        return self.kind is Kind.OTHER and self.text == sign


class Lexer:
    """Tokens of a text; `line` reads on as raw lines, for data that stands between statements."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._is_whole = False
        self._read_more()
        is_standard = any(sign in self._buffer[:4096] for sign in _STANDARD_SIGNS)
        self._pattern = STANDARD if is_standard else MYSQL
        self._row, self._value = STANDARD_ROWS if is_standard else MYSQL_ROWS
        self._has_backslashes = not is_standard

    def __iter__(self) -> Iterator[Token]:
        while (token := self.next()) is not None:
            yield token

    def next(self) -> Token | None:
        """The next token; None at the end. Raises DumpError where a quote is never closed."""
        while (match := self._match()) is not None:
            self._at = match.end()
            kind = match.lastgroup
            if kind != "space":
                return self._token(str(kind), match[0])
        return None

    def line(self) -> str | None:
        """The rest of the line without its end; None at the end of the text."""
        while (end := self._buffer.find("\n", self._at)) < 0 and self._read_more():
            pass
        end = end if end >= 0 else len(self._buffer)
        if self._at >= len(self._buffer):
            return None
        line = self._buffer[self._at : end]
        self._at = end + 1
        return line

    def row(self) -> list[str | None] | None:
        """The values of a row in parentheses, at ten times the speed of its tokens.

        None where the row holds anything but strings and words, or is not read to its end yet.
        """
        match = self._row.match(self._buffer, self._at)
        if match is None or match.end() == len(self._buffer):
            return None
        self._at = match.end()
        return [self._plain(value) for value in self._value.findall(match[1])]

    def _plain(self, text: str) -> str | None:
        if text[0] == "'":
            return self._unquote(text)
        return None if text.upper() == "NULL" else text

    def _match(self) -> re.Match[str] | None:
        while True:
            match = self._pattern.match(self._buffer, self._at)
            is_sure = match is not None and match.end() < len(self._buffer)
            if is_sure and not self._is_left_open(match):
                return match
            if self._read_more():
                continue
            if match is not None and self._is_left_open(match):
                raise DumpError("The dump ends in the middle of a value: it was cut off.")
            return match

    def _is_left_open(self, match: re.Match[str] | None) -> bool:
        """One character that begins a quote or comment whose end has not been read yet."""
        if match is None or match.lastgroup != "other":
            return False
        return bool(_OPENS_WHAT_MUST_CLOSE.match(self._buffer, match.start()))

    def _read_more(self) -> bool:
        """Read as much as is there again, so that a long value is not looked at too often."""
        if self._is_whole:
            return False
        rest = self._buffer[self._at :]
        if len(rest) > LONGEST:
            raise DumpError(f"One value is longer than {LONGEST:,} characters.")
        more = self._text.read(max(PIECE, len(rest)))
        self._buffer, self._at, self._is_whole = rest + more, 0, not more
        return bool(more)

    def _token(self, kind: str, text: str) -> Token:
        match kind:
            case "string":
                return Token(Kind.STRING, self._unquote(text))
            case "escaped":
                return Token(Kind.STRING, unescape(text[2:-1]))
            case "dollar" | "tag":
                return Token(Kind.STRING, text)
            case "name":
                return Token(Kind.NAME, text[1:-1].replace(text[0] * 2, text[0]))
        return Token(Kind(kind), text)

    def _unquote(self, text: str) -> str:
        inner = text[1:-1]
        if self._has_backslashes:
            return unescape(inner) if "\\" in inner or "'" in inner else inner
        return inner.replace("''", "'")


def unescape(text: str) -> str:
    """MySQL's escapes (manual, "String Literals"), and the same of PostgreSQL's E'' strings."""
    return _ESCAPE.sub(lambda found: _MEANS.get(found[1], found[1]) if found[1] else "'", text)
