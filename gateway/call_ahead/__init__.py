"""Recipient call-ahead: next hops are asked about a mailbox before mail for it is accepted.

service.py asks each question once at a time and keeps answers (memory.py); caller.py talks to one
hop. What an answer means is judged in gateway/routing/call_ahead.py.
"""

from django.conf import settings

from gateway.call_ahead.memory import Memory
from gateway.call_ahead.service import CallAhead

__all__ = ["CallAhead", "configured"]

# Answers kept in a process, the newest ones: some tens of MB.
MOST_KEPT = 100_000


def configured() -> CallAhead:
    """The call-ahead of a process, as the settings say."""
    return CallAhead(
        hostname=settings.GATEWAY_HOSTNAME,
        deadline_seconds=settings.CALL_AHEAD_SECONDS,
        connections_per_hop=settings.CALL_AHEAD_CONNECTIONS_PER_HOP,
        memory=Memory(
            positive_seconds=settings.CALL_AHEAD_POSITIVE_SECONDS,
            negative_seconds=settings.CALL_AHEAD_NEGATIVE_SECONDS,
            most=MOST_KEPT,
        ),
    )
