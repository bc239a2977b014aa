"""What a pasted text may be: a pure reading of it, as one value with every meaning it could have.

People paste what they have in front of them: a line of a log or of a bounce, a mailto: link, a
name with an address in angle brackets, with whatever their mail program put around it.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote
from uuid import UUID

from gateway.routing.address import Address, AddressError, begin_domain, begin_key, fold

LONGEST = 1_000  # characters; a Message-ID has at most 998 (RFC 5322 §2.1.1)

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_LABEL = re.compile(
    r"(?:rfc822|utf-8)\s*;\s*"  # the types of RFC 3464 §2.3.2 and RFC 6533 §3
    r"|(?:rcpt to|mail from|to|from|cc|sender|reply-to|return-path|delivered-to|x-original-to"
    r"|final-recipient|original-recipient|message-id|in-reply-to|x-delivery-id)\s*:\s*",
    re.IGNORECASE,
)
_MAILTO = re.compile(r"mailto:", re.IGNORECASE)
_QUEUED = re.compile(r"\bqueued as (\w+)", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"<([^<>]+)>")
_AROUND = {"'": "'", '"': '"', "“": "”", "‘": "’", "„": "“", "«": "»", "(": ")", "`": "`"}


@dataclass(frozen=True, slots=True)
class Question:
    """A text as it was meant, and what it can be; empty or None where it cannot be that.

    `beginning` is of an address's key, `domain` the beginning of an A-label, `u_label` of a domain
    as people read it, `name` of a tenant's name in lower case, `word` a queue id or another
    reference.
    """

    text: str
    address: Address | None = None
    beginning: str = ""
    domain: str = ""
    u_label: str = ""
    name: str = ""
    word: str = ""
    identifier: UUID | None = None
    message_ids: tuple[str, ...] = ()


def read(pasted: str) -> Question:
    """Every meaning of a pasted text."""
    text = _unwrapped(pasted)
    if not text:
        return Question("")
    compact = text if '"' in text else "".join(text.split())
    is_word = len(text.split()) == 1
    return Question(
        text=text,
        address=_address(compact),
        beginning=begin_key(compact),
        domain=_domain(compact) if is_word else "",
        u_label=_u_label(compact) if is_word else "",
        name=text.lower() if "@" not in text else "",
        word=text if is_word else "",
        identifier=_identifier(text),
        message_ids=(text, f"<{text}>") if "@" in text and is_word else (),
    )


def _unwrapped(pasted: str) -> str:
    """The text itself, without what programs and people put around it."""
    text = " ".join(pasted[:LONGEST].translate(_INVISIBLE).replace("\0", "").split())
    if queued := _QUEUED.search(text):
        return queued[1]
    text = _without_labels(_without_quotes(text))
    if found := _IN_BRACKETS.findall(text):
        text = found[-1].strip()
    if link := _MAILTO.match(text):
        text = unquote(text[link.end() :].partition("?")[0])
    return _without_quotes(text.strip(" <>,;").removesuffix("."))


def _without_labels(text: str) -> str:
    """Without the names of fields and commands in front: `Final-Recipient: rfc822; …` has two."""
    while label := _LABEL.match(text):
        text = text[label.end() :]
    return text


def _without_quotes(text: str) -> str:
    """Without one pair of quotation marks around all of it; a quoted local part keeps its own."""
    is_pair = len(text) > 1 and _AROUND.get(text[0]) == text[-1]
    return text[1:-1].strip() if is_pair else text


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None


def _domain(text: str) -> str:
    name = text.removeprefix("@")
    return "" if "@" in name else begin_domain(name)


def _u_label(text: str) -> str:
    name = text.removeprefix("@")
    return "" if "@" in name else fold(name)


def _identifier(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
