"""When recipients of one message have to come in messages of their own (452 4.5.3).

There is one answer to the final dot, so that it has to be true for every recipient it speaks for.
"""

from collections.abc import Iterable

from gateway.routing.authentication import rejections
from gateway.routing.content_filter import refusals
from gateway.routing.decision import Decision


def conflicts(first: Decision, other: Decision, *, is_size_declared: bool) -> bool:
    """Whether one answer to DATA could not be true for both of two accepted recipients.

    Demands on the sender that refuse have to be the same for all; those that hold or mark need not.
    So have the content filter's verdicts that refuse.
    Limits of size have to be the same where the sender did not declare the size.
    """
    if (other.asks or first.asks) and rejections(other.asks) != rejections(first.asks):
        return True
    if (other.filters or first.filters) and refusals(other.filters) != refusals(first.filters):
        return True
    return not is_size_declared and other.max_octets != first.max_octets


def smallest_limit(decisions: Iterable[Decision]) -> int | None:
    """The octets that a message to all of these recipients may have; None without a limit."""
    limits = (each.max_octets for each in decisions if each.max_octets is not None)
    return min(limits, default=None)
