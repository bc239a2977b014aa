"""The author of a message: the one address of its one From field (RFC 5322 §3.6.2).

Strict on purpose. Where two readers could see two authors there is none: then nothing aligns. This
runs on the event loop, so that a long field names nobody, and each octet is looked at once.
"""

import re
from collections.abc import Sequence

from gateway.inspection.dkim.canonical import Field, name_of
from gateway.routing.address import Address, AddressError

# A field of the usual length has well under 200; hundreds of authors write no mail together.
LONGEST_OCTETS = 4096
# Its group is empty where the quote does not end; then no later one does, and none is tried.
_QUOTED = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*("?)', re.DOTALL)
_ANGLE = re.compile(r"<([^<>]*)>\Z")


def author_of(fields: Sequence[Field]) -> Address | None:
    """The author; None without a From, with several or an endless one, or with several domains.

    Of several authors of one domain it is the first.
    """
    values = [value for field in fields if name_of(field) == b"from" for value in field[1:]]
    if len(values) != 1 or len(values[0]) > LONGEST_OCTETS:
        return None
    try:
        text = values[0].decode().replace("\r\n", "")
        authors = [_parse_mailbox(mailbox) for mailbox in _split_mailboxes(text)]
    except (AddressError, UnicodeDecodeError):
        return None
    return authors[0] if len({author.domain for author in authors}) == 1 else None


def _split_mailboxes(text: str) -> list[str]:
    """The list without comments, split at commas outside of quotes and brackets."""
    parts, part, depth, index = [], "", 0, 0
    has_open_quote = False
    while index < len(text):
        quoted = None if depth or has_open_quote else _QUOTED.match(text, index)
        if quoted and not quoted[1]:
            quoted, has_open_quote = None, True
        character = quoted[0] if quoted else text[index]
        if depth and character == "\\":
            index += 1
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
            part += " "
        elif character == "," and depth == 0:
            parts.append(part)
            part = ""
        elif depth == 0:
            part += character
        index += len(character)
    if depth:
        raise AddressError("A comment does not end.")
    return [*parts, part]


def _parse_mailbox(text: str) -> Address:
    """`name <address>` or the bare address; a name with a bare @ in it is no name."""
    mailbox = text.strip()
    angle = _ANGLE.search(mailbox)
    if angle is None:
        return Address.parse(mailbox)
    if re.search(r"[@<>:;]", _QUOTED.sub(_unquoted, mailbox[: angle.start()])):
        raise AddressError("The name before an address holds another one.")
    return Address.parse(angle[1].strip())


def _unquoted(quoted: re.Match[str]) -> str:
    """Nothing for a quoted string; what only begins like one stays."""
    return "" if quoted[1] else quoted[0]
