"""LMTP to the server that holds a mailbox (RFC 2033): SMTP but for LHLO and the replies to DATA.

There is one reply for each recipient that was taken after the final dot, in their order.
Return-Path is written by the server, which makes the final delivery (RFC 5321 §4.4 allows one such
line only).
"""

from gateway.transports.conversation import Conversation
from gateway.transports.smtp import SmtpTransport
from gateway.transports.transaction import Transaction


class LmtpTransport(SmtpTransport):
    """One connection to an LMTP server; its hop's protocol makes the greeting LHLO."""

    async def _conclude(self, conversation: Conversation, transaction: Transaction) -> None:
        taken = transaction.taken
        conversation.write(transaction.content, replies=len(taken))
        for place in taken:
            transaction.replies[place] = await conversation.reply()
