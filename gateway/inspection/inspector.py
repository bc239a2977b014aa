"""What an examination of a whole message before 250 is: asked with the message, answers once.

An Inspector looks at octets and envelope; it stores nothing and changes nothing. Several of them
look at the same time, and what they say is combined in their order. Whoever only wants to look at
some messages says so in `is_wanted`, which runs for each message and has to be cheap.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.incoming import Envelope, Recipient
from gateway.routing.decision import Decision, Step
from gateway.routing.replies import Reply


class NoTurn(Exception):
    """A large message could not be had in memory in time: too many others are looked at."""


class Examined(Struct, frozen=True):
    """A message as it came, without our trace; the recipients that were accepted for it.

    `header` is its header section. `whole` gives all of its octets for as long as they are used;
    those of a large one wait for their turn, so nothing else is waited for meanwhile that can be
    before. It raises NoTurn, OSError.
    """

    envelope: Envelope
    header: bytes
    recipients: tuple[Recipient, ...]
    whole: Callable[[], AbstractAsyncContextManager[bytes]]


class Finding(Struct, frozen=True):
    """What a message gets for one recipient.

    `steps` go into the record's trace. `hold` says why deliveries are kept back until an operator
    releases them; empty lets them go on. `mark` are header lines, each ended by CR LF, that each
    delivery carries on top.
    """

    steps: tuple[Step, ...] = ()
    hold: str = ""
    mark: str = ""

    def applied_to(self, recipient: Recipient) -> Recipient:
        """The recipient with this beside what was found for it before."""
        decision = recipient.decision
        return replace(
            recipient,
            decision=replace(decision, trace=(*decision.trace, *self.steps)),
            hold=recipient.hold or self.hold,
            mark=recipient.mark + self.mark,
        )


class Inspection(Struct, frozen=True):
    """What came of looking at a message.

    `header` are lines on top for all recipients, each ended by CR LF. `reply` refuses the whole
    message. `findings` are by the recipient's key; whom none is about is taken as it is. `claimed`
    are names of header fields that only the inspector may set, so that a sender's are taken out.
    `said` goes into the message's log line.
    """

    header: bytes = b""
    reply: Reply | None = None
    findings: Mapping[str, Finding] = {}
    claimed: re.Pattern[bytes] | None = None
    said: Mapping[str, str] = {}


class Inspector(Protocol):
    """One examination."""

    def is_wanted(self, recipients: Sequence[Recipient]) -> bool:
        """Whether a message for these recipients has to be looked at."""
        ...

    def screen(self, envelope: Envelope, decision: Decision) -> Awaitable[Reply | None] | None:
        """What can be said of an accepted recipient before there is a message.

        None where that is nothing; a Reply of the awaitable refuses the recipient.
        """
        ...

    async def inspect(self, examined: Examined) -> Inspection:
        """Look at the message. DNS, other servers and time may fail: that is a Reply, too."""
        ...

    async def close(self) -> None:
        """Give back what it holds; it is not asked any more."""
        ...


async def all_said(screens: Sequence[Awaitable[Reply | None]]) -> list[Reply | None]:
    """What each screen says, in their order."""
    return await asyncio.gather(*screens)


async def inspect_all(inspectors: Sequence[Inspector], examined: Examined) -> list[Inspection]:
    """What each of them says, in their order."""
    return await asyncio.gather(*(each.inspect(examined) for each in inspectors))


def first_reply(inspections: Sequence[Inspection]) -> Reply | None:
    """The reply to the message: one for good before one for now. None lets it in."""
    said = [each.reply for each in inspections if each.reply is not None]
    return min(said, key=lambda reply: reply.is_temporary, default=None)


def apply_findings(recipient: Recipient, inspections: Sequence[Inspection]) -> Recipient:
    """The recipient with everything that was found for it."""
    for inspection in inspections:
        if found := inspection.findings.get(recipient.key):
            recipient = found.applied_to(recipient)
    return recipient
