"""What a whole message is refused for: its size, its lines, its header, the way it came."""

from collections.abc import Sequence

from gateway.routing import loops, replies
from gateway.routing.replies import Reply
from gateway.smtpd import trace
from gateway.smtpd.content import Content
from gateway.smtpd.transaction import Transaction


def refuse_content(
    transaction: Transaction, content: Content, secrets: Sequence[bytes]
) -> Reply | None:
    """The reply that refuses it; None for content that may be stored. `secrets` sign our marks."""
    limit = transaction.max_octets
    if limit is not None and content.size_octets > limit:
        return replies.ADDRESS_SIZE
    if content.has_bare_ends and not content.normalises:
        return replies.BARE_LINE_ENDS
    if content.is_header_too_long:
        return replies.HEADER_SIZE
    if trace.count_hops(content.header) >= trace.MAX_HOPS:
        return replies.TOO_MANY_HOPS
    if loops.is_back(content.header, transaction.recipients, secrets=secrets):
        return replies.LOOP
    return None
