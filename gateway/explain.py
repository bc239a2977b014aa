"""Explain: what the gateway would answer to one recipient at this moment, and every step to it.

The same parser, facts and resolve() as an RCPT TO on the wire; nothing is counted or stored.
"""

import asyncio
from dataclasses import dataclass

from gateway import call_ahead
from gateway.directory import platform, read_facts
from gateway.routing.address import Address
from gateway.routing.call_ahead import unasked
from gateway.routing.decision import Decision
from gateway.routing.facts import Facts, Session
from gateway.routing.replies import Reply
from gateway.routing.resolve import resolve, resolve_postmaster
from gateway.smtpd.command import CommandError, parse_mail, parse_rcpt


@dataclass(frozen=True, slots=True)
class Count:
    """A counter that storing the recipient would charge: where it stands, and its limit."""

    counter: str
    total: int
    limit: int
    is_storage: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """`decision` is None where MAIL or RCPT is refused for its syntax: `field` tells which.

    `recipient` is the normalised address, None for `<postmaster>` without a domain; `facts` are all
    that the decision was made from.
    """

    reply: Reply
    decision: Decision | None = None
    recipient: Address | None = None
    sender: Address | None = None
    counts: tuple[Count, ...] = ()
    field: str = ""
    facts: Facts | None = None


def explain(
    recipient: str, sender: str, octets: int | None, *, asks_hops: bool = False
) -> Explanation:
    """Decide as the gateway would, for a sender that offers SMTPUTF8.

    Addresses are taken with or without angle brackets; an empty sender is the null sender `<>`.
    Next hops that the gateway would ask about a mailbox are asked only with `asks_hops`.
    Raises LookupFailed where the directory does not answer.
    """
    size = f" SIZE={octets}" if octets is not None else ""
    try:
        mail = parse_mail(f"FROM:{_path(sender)}{size} SMTPUTF8")
    except CommandError as error:
        return Explanation(error.reply, field="sender")
    try:
        rcpt = parse_rcpt(f"TO:{_path(recipient)}", smtputf8=True)
    except CommandError as error:
        return Explanation(error.reply, sender=mail.sender, field="recipient")
    session = Session(mail.sender, mail.declared_octets)
    facts = read_facts([rcpt.recipient] if rcpt.recipient else [])
    if rcpt.recipient is None:
        decision = resolve_postmaster(session, facts)
    else:
        decision = _called_ahead(resolve(rcpt.recipient, session, facts), asks_hops=asks_hops)
    return Explanation(
        decision.reply,
        decision,
        rcpt.recipient,
        mail.sender,
        _counts(decision, facts),
        facts=facts,
    )


def _called_ahead(decision: Decision, *, asks_hops: bool) -> Decision:
    if not decision.called_ahead:
        return decision
    if not asks_hops:
        return unasked(decision)
    return asyncio.run(call_ahead.configured().judge_now(decision))


def size_limit(decision: Decision) -> int:
    """The octets that DATA would be held to."""
    limits = (decision.max_octets, platform().max_message_octets)
    return min(limit for limit in limits if limit is not None)


def _path(text: str) -> str:
    stripped = text.strip()
    is_path = stripped.startswith("<") and stripped.endswith(">")
    return stripped if is_path else f"<{stripped}>"


def _counts(decision: Decision, facts: Facts) -> tuple[Count, ...]:
    return tuple(
        Count(take.counter, facts.usage_of(take.counter).total, take.limit, take.is_storage)
        for take in decision.takes
        if take.limit is not None
    )
