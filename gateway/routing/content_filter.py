"""What an address wants done with mail that a content filter objects to, and what a message gets.

The filter's own words become a Verdict where its answer is read; here they are held against what
each recipient's address and tenant chose. Those that may refuse have to be equal for all recipients
of a message, as it has one answer.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from gateway.routing import replies
from gateway.routing.authentication import OnFailure
from gateway.routing.replies import Reply


class Verdict(StrEnum):
    """What a filter makes of a message."""

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"
    SPAM = "spam"
    VIRUS = "virus"
    QUARANTINE = "quarantine"  # the filter itself wants it kept back
    LATER = "later"  # the filter wants the sender to try again
    UNKNOWN = "unknown"  # the filter could not be asked, or says nothing that can be read


class Filter(Struct, frozen=True):
    """What one address wants done, in force once its own choices and its tenant's are put together.

    `on_unknown` is the installation's: REJECT defers the sender, MARK takes the message unchecked.
    """

    on_spam: OnFailure = OnFailure.REJECT
    on_suspicious: OnFailure = OnFailure.MARK
    on_virus: OnFailure = OnFailure.REJECT
    on_unknown: OnFailure = OnFailure.REJECT

    def __str__(self) -> str:
        return f"spam: {self.on_spam}, suspicious: {self.on_suspicious}, virus: {self.on_virus}"

    def treatment(self, verdict: Verdict) -> OnFailure | None:
        """What a message of this verdict gets; None lets it pass."""
        treatments: dict[Verdict, OnFailure] = {
            Verdict.SUSPICIOUS: self.on_suspicious,
            Verdict.SPAM: self.on_spam,
            Verdict.VIRUS: self.on_virus,
            Verdict.QUARANTINE: OnFailure.HOLD,
            Verdict.LATER: OnFailure.REJECT,
            Verdict.UNKNOWN: self.on_unknown,
        }
        return treatments.get(verdict)


class TenantFilter(Struct, frozen=True, array_like=True):
    """A tenant's choices: whether its mail is filtered, and what becomes of it then."""

    is_on: bool = False
    on_spam: OnFailure = OnFailure.REJECT
    on_suspicious: OnFailure = OnFailure.MARK
    on_virus: OnFailure = OnFailure.REJECT


class AddressFilter(Struct, frozen=True, array_like=True):
    """An address's choices; None takes the tenant's."""

    is_on: bool | None = None
    on_spam: OnFailure | None = None
    on_suspicious: OnFailure | None = None
    on_virus: OnFailure | None = None


_REPLIES = {
    Verdict.SUSPICIOUS: replies.SPAM,
    Verdict.SPAM: replies.SPAM,
    Verdict.VIRUS: replies.VIRUS,
    Verdict.LATER: replies.FILTERED_LATER,
    Verdict.UNKNOWN: replies.UNFILTERED,
}


def in_force(
    tenant: TenantFilter, address: AddressFilter | None, *, on_unknown: OnFailure
) -> Filter | None:
    """The filter of an address; None where its mail is not filtered."""
    own = address or AddressFilter()
    if not (tenant.is_on if own.is_on is None else own.is_on):
        return None
    return Filter(
        own.on_spam or tenant.on_spam,
        own.on_suspicious or tenant.on_suspicious,
        own.on_virus or tenant.on_virus,
        on_unknown,
    )


def refusals(filters: Iterable[Filter]) -> frozenset[Verdict]:
    """The verdicts that any of them refuses or defers; equal for all recipients of a message."""
    wanted = tuple(filters)
    return frozenset(verdict for verdict in Verdict if treat(wanted, verdict) is OnFailure.REJECT)


def treat(filters: Sequence[Filter], verdict: Verdict) -> OnFailure | None:
    """The gravest of what they want done with a message; None lets it pass."""
    wanted = [each.treatment(verdict) for each in filters]
    return next((grave for grave in OnFailure if grave in wanted), None)


def reply_to(verdict: Verdict) -> Reply:
    """What a sender is told whose message is refused for a verdict."""
    return _REPLIES[verdict]
