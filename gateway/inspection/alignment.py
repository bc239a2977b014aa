"""Whether what passed speaks for the author: identifier alignment and DMARC's result (RFC 9989)."""

import asyncio

from msgspec import Struct
from msgspec.structs import replace

from gateway.inspection import dmarc
from gateway.inspection.dmarc import Record, Walk
from gateway.inspection.resolver import DnsTrouble, Resolver
from gateway.routing.address import Address
from gateway.routing.authentication import Dmarc, Findings, Policy, Result, Signature, Spf

# What may speak for the author, now or once DNS answers again.
_OPEN = (Result.PASS, Result.TEMPERROR)


class Alignment(Struct, frozen=True):
    """Compares domains with the author's. `walk` is None where the author's own walk failed."""

    author: str
    walk: Walk | None
    resolver: Resolver

    async def of(self, domain: str, *, is_strict: bool) -> bool | None:
        """Whether a domain is aligned (§4.4); None where DNS does not tell.

        An organisational domain is the end of every name below it, which spares most walks.
        """
        if domain == self.author:
            return True
        if self.walk is None:
            return None
        organisation = self.walk.organisation
        if is_strict or not f".{domain}".endswith(f".{organisation}"):
            return False
        try:
            return (await dmarc.walk(domain, self.resolver)).organisation == organisation
        except DnsTrouble:
            return None


async def align(
    author: Address | None, spf: Spf, signatures: tuple[Signature, ...], resolver: Resolver
) -> Findings:
    """Everything that was found, with alignment and DMARC. Raises nothing for want of DNS."""
    if author is None:
        return Findings(None, spf, signatures, Dmarc(Result.PERMERROR, note="no single author"))
    try:
        walk = await dmarc.walk(author.domain, resolver)
    except DnsTrouble:
        walk = None
    record = walk.record if walk else None
    alignment = Alignment(author.domain, walk, resolver)
    spf = await _align_spf(spf, alignment, record)
    signatures = tuple(
        await asyncio.gather(*(_align_signature(each, alignment, record) for each in signatures))
    )
    result = await _dmarc(author.domain, spf, signatures, walk, resolver)
    return Findings(author, spf, signatures, result)


async def _align_spf(spf: Spf, alignment: Alignment, record: Record | None) -> Spf:
    if spf.result not in _OPEN:
        return spf
    is_strict = record is not None and record.is_spf_strict
    return replace(spf, is_aligned=await alignment.of(spf.domain, is_strict=is_strict))


async def _align_signature(
    signature: Signature, alignment: Alignment, record: Record | None
) -> Signature:
    if signature.result not in _OPEN:
        return signature
    is_strict = record is not None and record.is_dkim_strict
    return replace(signature, is_aligned=await alignment.of(signature.domain, is_strict=is_strict))


async def _dmarc(
    author: str, spf: Spf, signatures: tuple[Signature, ...], walk: Walk | None, resolver: Resolver
) -> Dmarc:
    if walk is None:
        return Dmarc(Result.TEMPERROR, note="policy could not be fetched")
    record = walk.record
    if record is None or record.policy is None:
        return Dmarc(Result.NONE)
    identifiers: tuple[Spf | Signature, ...] = (spf, *signatures)
    if any(each.result is Result.PASS and each.is_aligned for each in identifiers):
        return Dmarc(Result.PASS, record.policy)
    if any(each.result in _OPEN and each.is_aligned is not False for each in identifiers):
        return Dmarc(Result.TEMPERROR, note="not all could be checked")
    try:
        return Dmarc(Result.FAIL, await _policy(record, author, resolver))
    except DnsTrouble:
        return Dmarc(Result.TEMPERROR, note="policy could not be fetched")


async def _policy(record: Record, author: str, resolver: Resolver) -> Policy:
    """The policy for the author's domain; whether that exists counts only where np is set."""
    exists = True
    if record.absent is not None and record.domain != author:
        exists = (await resolver.ask(author, "A")).exists
    return dmarc.applied_policy(record, author, exists=exists)
