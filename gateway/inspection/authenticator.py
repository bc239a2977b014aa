"""SPF, DKIM and DMARC of a message, when an address asks for it or the platform always wants it.

Nothing is looked up for a message whose recipients do not ask. All checks of one message share a
deadline; what is not known by then counts as DNS trouble, not as absence.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from msgspec.structs import replace

from gateway import metrics
from gateway.incoming import Envelope, Recipient
from gateway.inspection import authentication_results
from gateway.inspection.alignment import align
from gateway.inspection.author import author_of
from gateway.inspection.dkim.canonical import Field, split_fields
from gateway.inspection.dkim.verify import Prepared, prepare, verify
from gateway.inspection.inspector import Examined, Finding, Inspection, NoTurn
from gateway.inspection.resolver import NOWHERE, DnsTrouble, Resolver
from gateway.inspection.spf.check import check_host
from gateway.routing import authentication
from gateway.routing.authentication import (
    Ask,
    Demand,
    Dmarc,
    Findings,
    OnFailure,
    Result,
    Signature,
    Spf,
)
from gateway.routing.decision import Decision, Step
from gateway.routing.replies import Reply

# RFC 7208 §4.6.4 asks for at least twenty seconds.
DEADLINE_SECONDS = 20.0
LATE = "not known in time"
# The root alone (RFC 7505 §3).
NULL_MX = (".",)
UNKNOWN = Signature(Result.TEMPERROR, note=LATE, is_aligned=None)

Found = TypeVar("Found")


class Authenticator:
    """The Inspector of senders. `server` is our authserv-id (RFC 8601 §2.5)."""

    def __init__(
        self, resolver: Resolver, *, server: str, executor: Executor, is_always: bool = False
    ) -> None:
        self._resolver = resolver
        self._server = server
        self._executor = executor
        self._is_always = is_always

    def is_wanted(self, recipients: Sequence[Recipient]) -> bool:
        """See Inspector."""
        return self._is_always or any(each.decision.asks for each in recipients)

    def screen(self, envelope: Envelope, decision: Decision) -> Awaitable[Reply | None] | None:
        """SPF at RCPT, where an address refuses what fails it; no author could mend that."""
        wants = [a for a in decision.asks if a.demand is Demand.SPF and a.may_reject]
        return self._screen(envelope, wants) if wants else None

    async def inspect(self, examined: Examined) -> Inspection:
        """See Inspector."""
        started = time.perf_counter()
        found = await self.authenticate(examined)
        metrics.AUTHENTICATION_SECONDS.observe(time.perf_counter() - started)
        failed = {
            each.key: authentication.failures(each.decision.asks, found)
            for each in examined.recipients
        }
        steps = _steps(found)
        return Inspection(
            header=authentication_results.field(self._server, found),
            reply=_reply(failed),
            findings={
                each.key: _finding(each.decision.asks, failed[each.key], found, steps)
                for each in examined.recipients
            },
        )

    async def close(self) -> None:
        """See Inspector."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def authenticate(self, examined: Examined) -> Findings:
        """What SPF, DKIM and DMARC say of a message."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + DEADLINE_SECONDS
        fields = split_fields(examined.header.removesuffix(b"\r\n"))
        prepared = prepare(fields, self._resolver, now=int(time.time()))
        spf, has_null_mx, signed = await asyncio.gather(
            self._spf(examined.envelope, deadline),
            self._has_null_mx(examined.envelope, deadline),
            _until(deadline, prepared, (UNKNOWN,)),
        )
        has_keys_at = clock()
        signatures = await self._verify(examined, fields, signed)
        deadline += clock() - has_keys_at  # waiting for the message is not waiting for DNS
        author = author_of(fields)
        unknown = Findings(author, spf, signatures, Dmarc(Result.TEMPERROR, note=LATE))
        aligned = align(author, spf, signatures, self._resolver)
        found = await _until(deadline, aligned, unknown)
        return replace(found, has_null_mx=True) if has_null_mx else found

    async def _verify(
        self, examined: Examined, fields: Sequence[Field], prepared: Prepared
    ) -> tuple[Signature, ...]:
        """The signatures' results; where none has a key, the message is not asked for."""
        settled = [each for each in prepared if isinstance(each, Signature)]
        if len(settled) == len(prepared):
            return tuple(settled)
        try:
            async with examined.whole() as octets:
                return await verify(fields, octets, prepared, executor=self._executor)
        except NoTurn:
            return (UNKNOWN,)

    async def _screen(self, envelope: Envelope, asks: Sequence[Ask]) -> Reply | None:
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        spf, has_null_mx = await asyncio.gather(
            self._spf(envelope, deadline), self._has_null_mx(envelope, deadline)
        )
        return authentication.judge_spf_alone(asks[0], spf, has_null_mx=has_null_mx)

    async def _has_null_mx(self, envelope: Envelope, deadline: float) -> bool:
        """Whether the sender's domain says that it takes no mail; what is not known is no."""
        domain = envelope.sender.rpartition("@")[2].lower()
        if not domain or domain.startswith("["):
            return False
        try:
            answer = await _until(deadline, self._resolver.ask(domain, "MX"), NOWHERE)
        except DnsTrouble:
            return False
        return answer.records == NULL_MX

    async def _spf(self, envelope: Envelope, deadline: float) -> Spf:
        """SPF of MAIL FROM; of HELO for the null sender (RFC 7208 §2.4)."""
        is_helo = not envelope.sender
        sender = envelope.sender or f"postmaster@{envelope.helo}"
        domain = sender.rpartition("@")[2].lower()
        if envelope.client is None or domain.startswith("["):
            return Spf(Result.NONE, domain, is_helo)
        check = check_host(envelope.client, domain, sender, envelope.helo, self._resolver)
        result, note = await _until(deadline, check, (Result.TEMPERROR, LATE))
        return Spf(result, domain, is_helo, note)


async def _until(deadline: float, work: Awaitable[Found], late: Found) -> Found:
    """The result of the work, or `late` once the deadline has passed."""
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        return late


def _reply(failed: dict[str, list[tuple[Ask, Reply]]]) -> Reply | None:
    """The reply that refuses the message: recipients that refuse share their demands.

    Where all wait for DNS, the sender may as well; else nobody waits for another's check.
    """
    worst = [failures[0] for failures in failed.values() if failures]
    refusing = [reply for ask, reply in worst if ask.may_reject]
    if refusing:
        return refusing[0]
    is_waiting = len(worst) == len(failed) and all(reply.is_temporary for _, reply in worst)
    return worst[0][1] if worst and is_waiting else None


def _finding(
    asks: Sequence[Ask], failed: list[tuple[Ask, Reply]], found: Findings, steps: tuple[Step, ...]
) -> Finding:
    if not failed:
        passed = tuple(Step("sender authentication", "passed", str(ask)) for ask in asks)
        return Finding((*steps, *passed))
    ask, reply = failed[0]
    said = f"{reply.text}: {_summary(found)}"
    if ask.on_failure is OnFailure.HOLD:
        return Finding((*steps, Step("sender authentication", "held", said)), hold=said)
    if ask.on_failure is OnFailure.MARK:
        mark = f"X-Sender-Authentication: failed ({_summary(found)})\r\n"
        return Finding((*steps, Step("sender authentication", "marked", said)), mark=mark)
    return Finding((*steps, Step("sender authentication", "refused", str(ask))))


def _summary(found: Findings) -> str:
    dkim = {str(each.result): None for each in found.signatures} or {"none": None}
    return f"spf={found.spf.result}, dkim={'/'.join(dkim)}, dmarc={found.dmarc.result}"


def _steps(found: Findings) -> tuple[Step, ...]:
    """What was found, for the record's trace."""
    signatures = found.signatures or (Signature(Result.NONE),)
    dmarc = found.dmarc
    policy = f"policy {dmarc.policy}" if dmarc.result is Result.FAIL else ""
    notes = [found.author.domain if found.author else "", dmarc.note, policy]
    null_mx = [Step("null MX", Result.FAIL, found.spf.domain)] if found.has_null_mx else []
    return (
        *null_mx,
        _identifier_step("SPF", found.spf),
        *(_identifier_step("DKIM", each) for each in signatures),
        Step("DMARC", found.dmarc.result, ", ".join(filter(None, notes))),
    )


def _identifier_step(name: str, found: Spf | Signature) -> Step:
    """A pass counts for the author's domain alone, which the note says where it does not."""
    is_foreign = found.result is Result.PASS and not found.is_aligned
    notes = [found.domain, found.note, "not aligned" if is_foreign else ""]
    return Step(name, found.result, ", ".join(filter(None, notes)))
