"""What a transport is: one connection's worth of sending, one message at a time.

`send` never raises for what the other side says or fails to say: that is an Outcome. A transport
is used by one task at a time, over many messages, and closed at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

LONGEST_REPLY = 1000


class Result(StrEnum):
    """What came of one try. The values are stored with each Attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    CRASHED = "crashed"  # our own fault, or the worker's end: counted towards quarantine


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom in one delivery. `sender` is empty for the null sender.

    `original_recipient` is what the sender wrote, `recipient` what the next hop is given. `mark`
    are header lines that stand on top for this recipient. What was asked of delivery reports stands
    as parameters of MAIL in `message_dsn` and of RCPT in `recipient_dsn` (RFC 3461 §4).
    """

    delivery_id: UUID
    sender: str
    recipient: str
    original_recipient: str
    smtputf8: bool = False
    mark: str = ""
    message_dsn: str = ""
    recipient_dsn: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try, what was said and by whom.

    `is_unreachable` says that the next hop as a whole does not take mail now, so that others
    waiting for it need not try; `is_stalled` that it fell silent. `is_at_once` asks for another try
    without a pause.
    """

    result: Result
    reply: str
    remote: str = ""
    is_unreachable: bool = False
    is_at_once: bool = False
    is_stalled: bool = False

    def __post_init__(self) -> None:
        """What a peer says may be no text that can be stored: octets of any charset, NUL."""
        said = self.reply.encode(errors="replace").decode().replace("\0", "?")
        if len(said) > LONGEST_REPLY:
            said = said[: LONGEST_REPLY - 1] + "…"
        object.__setattr__(self, "reply", said)


class Transport(Protocol):
    """A way to hand a message over. `needs_octets` says whether the body has to be read for it."""

    needs_octets: bool

    async def send(self, envelopes: Sequence[Envelope], octets: bytes) -> list[Outcome]:
        """Hand one message to its recipients and return what came of it for each, in order.

        The envelopes agree in all but the delivery's id, the recipient and `recipient_dsn`.
        """
        ...

    def answers(self) -> list[Outcome | None]:
        """What the other side has said of each recipient, after a `send` that was broken off."""
        ...

    async def close(self) -> None:
        """Take leave of the other side; never raises."""
        ...

    def abort(self) -> None:
        """Drop the connection in the midst of a conversation."""
        ...
