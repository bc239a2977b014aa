"""What an address asks of a message's sender, and whether SPF, DKIM and DMARC answer it.

Results: RFC 8601 §2.7. Alignment and policy: RFC 9989. A look-up that failed is never read as
absence: where its answer could change the outcome, the reply is temporary.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.replies import Reply


class Demand(StrEnum):
    """What an address asks for; a DMARC fail that its author wants acted on fails them all."""

    NOTHING = ""
    ALIGNED = "any"  # SPF or DKIM passes for the author's domain
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    SIGNER = "signer"  # a DKIM signature of one given domain


class OnFailure(StrEnum):
    """What a message gets that does not answer the demand."""

    REJECT = "reject"
    HOLD = "hold"
    MARK = "mark"


class Result(StrEnum):
    """The results of a check, as Authentication-Results calls them."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - the word of RFC 8601
    FAIL = "fail"
    SOFTFAIL = "softfail"
    POLICY = "policy"  # it would pass, but not by our rules
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Policy(StrEnum):
    """What the author's domain wants done with mail that fails DMARC (RFC 9989, tag p)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Ask(Struct, frozen=True):
    """One address's demand: `signer` is an A-label, `authors` are entries of allowed senders."""

    demand: Demand = Demand.NOTHING
    on_failure: OnFailure = OnFailure.REJECT
    signer: str = ""
    authors: tuple[str, ...] = ()

    def __str__(self) -> str:
        wanted = [_WANTED[self.demand].format(self.signer)] if self.demand else []
        wanted += ["an author on its list, with DMARC pass"] if self.authors else []
        return f"{' and '.join(wanted)}; else {self.on_failure}"

    @property
    def may_reject(self) -> bool:
        """Whether a message may be refused for it."""
        return self.on_failure is OnFailure.REJECT


_WANTED = {
    Demand.ALIGNED: "SPF or DKIM pass, aligned",
    Demand.SPF: "SPF pass, aligned",
    Demand.DKIM: "DKIM pass, aligned",
    Demand.DMARC: "DMARC pass",
    Demand.SIGNER: "DKIM pass by {}",
}


class Spf(Struct, frozen=True):
    """SPF of the envelope sender's domain, or of HELO for the null sender (RFC 7208 §2.4).

    `is_aligned` is None where a look-up failed that would tell.
    """

    result: Result
    domain: str = ""
    is_helo: bool = False
    note: str = ""
    is_aligned: bool | None = False


class Signature(Struct, frozen=True):
    """One DKIM signature: `domain` is its d=, `selector` its s=; alignment as for Spf."""

    result: Result
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    note: str = ""
    is_aligned: bool | None = False


class Dmarc(Struct, frozen=True):
    """DMARC of the author's domain; `policy` is what applies to it (sp, np and t reckoned in)."""

    result: Result
    policy: Policy = Policy.NONE
    note: str = ""

    @property
    def is_condemned(self) -> bool:
        """Whether the author's domain wants this message acted on."""
        return self.result is Result.FAIL and self.policy is not Policy.NONE


class Findings(Struct, frozen=True):
    """What was found about a message's sender; `author` is None without exactly one From."""

    author: Address | None
    spf: Spf
    signatures: tuple[Signature, ...]
    dmarc: Dmarc
    has_null_mx: bool = False  # the envelope sender's domain takes no mail (RFC 7505)


def rejections(asks: Iterable[Ask]) -> frozenset[Ask]:
    """The demands that refuse; recipients share one answer to DATA only where these are equal."""
    return frozenset(ask for ask in asks if ask.may_reject)


def judge(ask: Ask, found: Findings) -> Reply | None:
    """None where the message answers the demand; else the reply that says what is missing."""
    if found.dmarc.is_condemned:
        return replies.DMARC_FAILED
    if found.has_null_mx:
        return replies.SENDER_NULL_MX
    reply = _CHECKS[ask.demand](ask, found)
    if reply is None and ask.authors:
        reply = _check_author(ask, found)
    return reply


def failures(asks: Iterable[Ask], found: Findings) -> list[tuple[Ask, Reply]]:
    """The demands that are not answered, the gravest first: refusals for good, then for now."""
    judged = [(ask, reply) for ask in asks if (reply := judge(ask, found)) is not None]
    order = list(OnFailure)
    return sorted(judged, key=lambda each: (order.index(each[0].on_failure), each[1].is_temporary))


def judge_spf_alone(ask: Ask, spf: Spf, *, has_null_mx: bool = False) -> Reply | None:
    """What SPF says by itself, before there is an author: a Reply where no author could help."""
    if has_null_mx and ask.may_reject:
        return replies.SENDER_NULL_MX
    if ask.demand is not Demand.SPF or not ask.may_reject or spf.result is Result.PASS:
        return None
    return replies.SPF_TROUBLE if spf.result is Result.TEMPERROR else replies.SPF_FAILED


def _check_spf(_ask: Ask, found: Findings) -> Reply | None:
    spf = found.spf
    if spf.result is Result.TEMPERROR and spf.is_aligned is not False:
        return replies.SPF_TROUBLE
    if spf.result is not Result.PASS or spf.is_aligned is False:
        return replies.SPF_FAILED
    return replies.DMARC_TROUBLE if spf.is_aligned is None else None


def _check_dkim(_ask: Ask, found: Findings) -> Reply | None:
    passing = [each for each in found.signatures if each.result is Result.PASS]
    if any(each.is_aligned for each in passing):
        return None
    if any(each.is_aligned is None for each in passing):
        return replies.DMARC_TROUBLE
    return _missing_signature(found.signatures)


def _check_signer(ask: Ask, found: Findings) -> Reply | None:
    theirs = [each for each in found.signatures if each.domain == ask.signer]
    if any(each.result is Result.PASS for each in theirs):
        # Another's signature says nothing of the author, whose domain may yet condemn it.
        is_open = found.dmarc.result is Result.TEMPERROR
        return _check_dmarc(ask, found) if is_open else None
    if any(each.result is Result.TEMPERROR for each in theirs):
        return replies.DKIM_TROUBLE
    passing = [each for each in found.signatures if each.result is Result.PASS]
    return replies.DKIM_NOT_ALIGNED if passing else replies.DKIM_FAILED


def _missing_signature(signatures: Iterable[Signature]) -> Reply:
    results = {(each.result, each.is_aligned is not False) for each in signatures}
    if (Result.TEMPERROR, True) in results:
        return replies.DKIM_TROUBLE
    return replies.DKIM_NOT_ALIGNED if (Result.PASS, False) in results else replies.DKIM_FAILED


def _check_aligned(ask: Ask, found: Findings) -> Reply | None:
    """One of both is enough, so either may make up for the other's trouble."""
    answers = (_check_spf(ask, found), _check_dkim(ask, found))
    if None in answers:
        return None
    waits = (reply for reply in answers if reply is not None and reply.is_temporary)
    return next(waits, replies.DMARC_FAILED)


def _check_dmarc(ask: Ask, found: Findings) -> Reply | None:
    if found.dmarc.result is Result.PASS:
        return None
    if found.dmarc.result is not Result.TEMPERROR:
        return replies.DMARC_FAILED
    reply = _check_aligned(ask, found)
    return reply if reply is not None and reply.is_temporary else replies.DMARC_TROUBLE


def _check_author(ask: Ask, found: Findings) -> Reply | None:
    """The author against the list: whole addresses, or domains as `@domain`."""
    author = found.author
    if author is None or not author.matches(ask.authors):
        return replies.SENDER_NOT_ALLOWED
    return _check_dmarc(ask, found)


def _check_nothing(_ask: Ask, _found: Findings) -> Reply | None:
    return None


_CHECKS = {
    Demand.NOTHING: _check_nothing,
    Demand.ALIGNED: _check_aligned,
    Demand.SPF: _check_spf,
    Demand.DKIM: _check_dkim,
    Demand.DMARC: _check_dmarc,
    Demand.SIGNER: _check_signer,
}
