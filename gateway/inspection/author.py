"""The author of a message: the one address of its one From field (RFC 5322 §3.6.2).

Strict on purpose. Where two readers could see two authors there is none: then nothing aligns.
"""

import re
from collections.abc import Sequence

from gateway.inspection.dkim.canonical import Field, name_of
from gateway.routing.address import Address, AddressError

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ANGLE = re.compile(r"<([^<>]*)>\Z")


def author_of(fields: Sequence[Field]) -> Address | None:
    """The author; None without a From, with several, or where its addresses differ in domain.

    Of several authors of one domain it is the first.
    """
    values = [value for field in fields if name_of(field) == b"from" for value in field[1:]]
    if len(values) != 1:
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
    while index < len(text):
        quoted = _QUOTED.match(text, index) if depth == 0 else None
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
    if re.search(r"[@<>:;]", _QUOTED.sub("", mailbox[: angle.start()])):
        raise AddressError("The name before an address holds another one.")
    return Address.parse(angle[1].strip())
