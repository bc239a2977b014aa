"""What a next hop says of a mailbox before its mail is accepted, and what follows for a recipient.

Only a refusal that is about the mailbox counts as one: a hop that is busy, broken or that turns us
away as such says nothing of who lives there, and mail goes on as if it had not been asked.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gateway.routing import replies
from gateway.routing.decision import Decision, Destination, Step

LONGEST_WORD = 200
# Without an enhanced code: RFC 5321 §4.2.3 gives these to mailboxes. 554 and 50x mean anything.
_OF_MAILBOXES = frozenset({550, 551, 552, 553})
# Subjects of RFC 3463 §3 that are not about the recipient: mail system, protocol, policy.
_ENHANCED = re.compile(r"5\.(\d{1,3})\.\d{1,3}\b")
_OF_OTHER_THINGS = frozenset({"3", "5", "7"})


class Presence(StrEnum):
    """Whether a hop takes mail for a mailbox."""

    EXISTS = "exists"
    GONE = "gone"
    UNKNOWN = "unknown"


class Word(Struct, frozen=True):
    """What a hop said of one mailbox, or why it said nothing; `said` is fit for a trace.

    `offers_smtputf8` is what its EHLO said; None where it was not heard.
    """

    presence: Presence
    said: str
    offers_smtputf8: bool | None = None


def understand(code: int, text: str) -> Word:
    """A reply to RCPT, its enhanced code at the head of the text."""
    return Word(_presence(code, text), readable(f"{code} {text}"))


def readable(text: str) -> str:
    """One short line of a text that another server chose."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= LONGEST_WORD else f"{line[: LONGEST_WORD - 1]}…"


def judge(decision: Decision, words: Sequence[Word], *, is_international: bool = False) -> Decision:
    """The decision after its hops were asked, in the order of `called_ahead`.

    It is refused only where every place that the message could go to is gone, or where one that is
    there could not take an internationalised message (RFC 6531 §3.5).
    """
    steps = [_step(place, word) for place, word in zip(decision.called_ahead, words, strict=True)]
    told = replace(decision, trace=(*decision.trace, *steps), presence=_worst(words))
    is_all = len(decision.called_ahead) == len(decision.destinations)
    if is_all and all(word.presence is Presence.GONE for word in words):
        return told.refused_with(replies.MAILBOX_GONE, by="call-ahead")
    if is_international and any(word.offers_smtputf8 is False for word in words):
        return told.refused_with(replies.HOP_WITHOUT_SMTPUTF8, by="SMTPUTF8")
    return told


def unasked(decision: Decision) -> Decision:
    """The decision where nobody is asked, which only says who would be."""
    steps = [Step("call-ahead", "to be asked", _place(place)) for place in decision.called_ahead]
    return replace(decision, trace=(*decision.trace, *steps))


def _presence(code: int, text: str) -> Presence:
    if 200 <= code < 300:
        return Presence.EXISTS
    enhanced = _ENHANCED.match(text)
    is_of_it = enhanced[1] not in _OF_OTHER_THINGS if enhanced else code in _OF_MAILBOXES
    return Presence.GONE if 500 <= code < 600 and is_of_it else Presence.UNKNOWN


def _worst(words: Sequence[Word]) -> str:
    said = {word.presence for word in words}
    return next(each for each in (Presence.GONE, Presence.UNKNOWN, Presence.EXISTS) if each in said)


def _step(place: Destination, word: Word) -> Step:
    return Step("call-ahead", word.presence, f"{_place(place)}: {word.said}")


def _place(place: Destination) -> str:
    hop = place.hop
    return f"{place.recipient} at {hop.protocol}:{hop.host}:{hop.port}" if hop else ""
