"""Shadow mode: old and new asked for the same recipients, and every difference between the two.

The new side is the gateway's own resolve() on facts read now, for no sender in particular and with
every counter at zero. Nothing is stored and no mail is touched.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gateway.directory import read_facts
from gateway.routing.address import Address
from gateway.routing.decision import Decision, Destination
from gateway.routing.facts import Session
from gateway.routing.resolve import resolve
from tenants.moving_in.inventory import DISCARD
from tenants.moving_in.postfix import OldAnswer, OldSystem, answers

AT_ONCE = 400
NOBODY = Session(sender=None, has_sender=False)
KINDS = {"discard": DISCARD, "inbox": "the stored inbox"}


class Kind(StrEnum):
    REFUSED = "refused here"
    ACCEPTED = "accepted here"
    ELSEWHERE = "delivered elsewhere"
    BOUNCES = "bounces there"
    UNVERIFIED = "domain not verified"


MEANING = {
    Kind.REFUSED: "The old system takes mail for it, this one refuses it.",
    Kind.ACCEPTED: "The old system refuses it, this one takes mail for it.",
    Kind.ELSEWHERE: "Both take it, and deliver to different places.",
    Kind.BOUNCES: "The old system accepts it and returns the mail, or part of it, afterwards.",
    Kind.UNVERIFIED: "The old system takes mail for it; here the claim of its domain is not "
    "verified yet, so that nothing could be compared.",
}


class Difference(Struct, frozen=True):
    """One address that the two treat differently, with both explanations."""

    address: str
    kind: Kind
    old: str
    new: str


class New(Struct, frozen=True):
    """What this installation does with a recipient."""

    decision: Decision
    is_served: bool  # whether the domain is verified here

    @property
    def destinations(self) -> frozenset[str]:
        return frozenset(map(_name, self.decision.destinations))

    @property
    def text(self) -> str:
        places = ", ".join(sorted(self.destinations))
        reply = f"{self.decision.reply} ({self.decision.rule})"
        return f"{reply} → {places}" if places else reply


def compare_all(
    recipients: Collection[str], system: OldSystem, *, at_once: int = AT_ONCE
) -> Iterator[tuple[int, list[Difference]]]:
    """How many recipients a round was about, and its differences; one round after the other.

    Raises OldSystemFailed or LookupFailed: what could not be asked is never taken for absent.
    """
    everyone = list(recipients)
    for start in range(0, len(everyone), at_once):
        keys = everyone[start : start + at_once]
        yield len(keys), list(differences(keys, system).values())


def differences(keys: Collection[str], system: OldSystem) -> dict[str, Difference]:
    """The differences among these recipients, by address key. Raises as compare_all."""
    old, new = answers(keys, system), _ask_new(keys)
    compared = (compare(key, old[key], new[key]) for key in keys)
    return {found.address: found for found in compared if found is not None}


def compare(key: str, old: OldAnswer, new: New) -> Difference | None:
    """The difference between both answers to one address; None where there is none."""
    kind = _kind(old, new)
    return Difference(key, kind, old.text, new.text) if kind else None


def _kind(old: OldAnswer, new: New) -> Kind | None:
    accepted = new.decision.reply.is_accepted
    if old.accepted and not new.is_served:
        return Kind.UNVERIFIED
    if not old.accepted:
        return Kind.ACCEPTED if accepted else None
    if not accepted:
        return Kind.REFUSED if old.destinations else Kind.BOUNCES
    if old.destinations != new.destinations:
        return Kind.ELSEWHERE
    return Kind.BOUNCES if old.lost else None


def _ask_new(keys: Iterable[str]) -> Mapping[str, New]:
    addresses = [Address.of_key(key) for key in keys]
    facts = replace(read_facts(addresses), usage={})
    return {
        each.key: New(resolve(each, NOBODY, facts), is_served=each.domain in facts.domains)
        for each in addresses
    }


def _name(destination: Destination) -> str:
    if destination.recipient is not None:
        return destination.recipient.key
    return KINDS.get(destination.kind, destination.kind)
