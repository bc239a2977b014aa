"""A resolver that is asked over UDP and, where an answer does not fit, over TCP: up to a bound.

Reading an answer holds the event loop for some 30 microseconds a record, and 64 KiB hold thousands
of them: a stranger's zone would keep all clients waiting at each look-up.
"""

import asyncio
from contextlib import closing
from typing import Any

import dns.exception
import dns.message
import dns.nameserver
import dns.query

# Domains with dozens of TXT records need a few thousand.
LONGEST_ANSWER_OCTETS = 16 * 1024
_LENGTH_OCTETS = 2


class BoundedNameserver(dns.nameserver.Do53Nameserver):
    """Treats an answer that is too long as one that cannot be read."""

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109 - dnspython's interface
        source: str | None,
        source_port: int,
        max_size: bool,  # noqa: FBT001 - dnspython's interface: over TCP
        backend: Any,
        one_rr_per_rrset: bool = False,  # noqa: FBT001, FBT002
        ignore_trailing: bool = False,  # noqa: FBT001, FBT002
    ) -> dns.message.Message:
        """See Do53Nameserver. Raises DNSException, OSError, EOFError."""
        if not max_size:
            return await super().async_query(
                request,
                timeout,
                source,
                source_port,
                max_size,
                backend,
                one_rr_per_rrset,
                ignore_trailing,
            )
        async with asyncio.timeout(timeout):
            answer = await _ask_over_tcp(self.address, self.port, request.to_wire())
        response = dns.message.from_wire(
            answer, one_rr_per_rrset=one_rr_per_rrset, ignore_trailing=ignore_trailing
        )
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response


async def _ask_over_tcp(address: str, port: int, question: bytes) -> bytes:
    """One question and its answer (RFC 7766 §8)."""
    reader, writer = await asyncio.open_connection(address, port)
    with closing(writer):
        writer.write(len(question).to_bytes(_LENGTH_OCTETS, "big") + question)
        size_octets = int.from_bytes(await reader.readexactly(_LENGTH_OCTETS), "big")
        if size_octets > LONGEST_ANSWER_OCTETS:
            raise dns.exception.FormError
        return await reader.readexactly(size_octets)
