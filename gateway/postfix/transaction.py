"""What is remembered of a message between its RCPTs and its end, by Postfix's `instance`.

Requests about one message may come over several connections, and many messages are never finished:
the oldest are forgotten once too many recipients are remembered.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from gateway.incoming import Envelope, Recipient
from gateway.routing.replies import Reply
from gateway.routing.split import smallest_limit

REMEMBERED_RECIPIENTS = 100_000


@dataclass(slots=True)
class Transaction:
    """A message on its way through Postfix: its accepted recipients, and the answer at its end."""

    envelope: Envelope
    recipients: dict[str, Recipient] = field(default_factory=dict)  # by key
    answer: Reply | None = None

    @property
    def max_octets(self) -> int | None:
        """The smallest limit of all recipients; None without one."""
        return smallest_limit(recipient.decision for recipient in self.recipients.values())


class Transactions:
    """The messages on their way, newest last."""

    def __init__(self, *, largest: int = REMEMBERED_RECIPIENTS) -> None:
        self._largest = largest
        self._size = 0
        self._by_instance: OrderedDict[str, Transaction] = OrderedDict()

    def get(self, instance: str) -> Transaction | None:
        """The message of this instance; None where no recipient is remembered."""
        return self._by_instance.get(instance)

    def remember(self, instance: str, envelope: Envelope, recipient: Recipient) -> None:
        """Keep an accepted recipient; one that was said twice counts once."""
        transaction = self._by_instance.setdefault(instance, Transaction(envelope))
        self._by_instance.move_to_end(instance)
        if recipient.key not in transaction.recipients:
            transaction.recipients[recipient.key] = recipient
            self._size += 1
        while self._size > self._largest:
            _, oldest = self._by_instance.popitem(last=False)
            self._size -= len(oldest.recipients)
