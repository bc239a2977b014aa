"""Answers of next hops for as long as they are believed: no I/O, no clock.

A mailbox that is there is believed to stay for long, everything else for a short while: a mailbox
that was just made is not refused for longer.
"""

from msgspec import Struct

from gateway.routing.address import Address
from gateway.routing.call_ahead import Presence, Word
from gateway.routing.facts import Hop

Question = tuple[Hop, Address]


class Kept(Struct, frozen=True):
    """An answer, and until when on its clock it is believed."""

    word: Word
    until: float


class Memory:
    """At most `most` answers; the oldest ones leave first. Times are seconds of one clock."""

    def __init__(self, *, positive_seconds: float, negative_seconds: float, most: int) -> None:
        self._positive_seconds = positive_seconds
        self._negative_seconds = negative_seconds
        self._most = most
        self._kept: dict[Question, Kept] = {}

    def recall(self, question: Question, now: float) -> Word | None:
        """The answer, or None where there is none that is still believed."""
        kept = self._kept.get(question)
        return kept.word if kept is not None and now < kept.until else None

    def keep(self, question: Question, word: Word, now: float) -> None:
        """Believe an answer from now on."""
        self._kept.pop(question, None)
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        is_there = word.presence is Presence.EXISTS
        life = self._positive_seconds if is_there else self._negative_seconds
        self._kept[question] = Kept(word, now + life)
