"""What resolve() returns: the reply, where the message goes, what to count, every step taken."""

from msgspec import Struct
from msgspec.structs import replace

from gateway.routing.address import Address
from gateway.routing.authentication import Ask
from gateway.routing.content_filter import Filter
from gateway.routing.facts import Hop
from gateway.routing.replies import Reply


class Step(Struct, frozen=True):
    """One line of a trace: what was looked at, what came of it, and the row it was about."""

    name: str
    outcome: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}" + (f" ({self.note})" if self.note else "")


class Destination(Struct, frozen=True):
    """One place a message is to be delivered to: becomes one Delivery row."""

    kind: str
    target_id: int | None = None
    recipient: Address | None = None  # RCPT TO at the next hop
    hop: Hop | None = None
    rewrites_sender: bool = False  # forwards carry an SRS return path
    null_sender: bool = False  # a bounce on its way back
    mailbox_id: int | None = None


class Branch(Struct, frozen=True):
    """One target that was looked at: of which address it is, and what came of it.

    `origin` is the key of that address as it was written to, `rule` and `address_id` what answered
    for it. A target leads to a `destination`, or on to the hosted address `onward`, or nowhere;
    `reply` is what refuses the way on, and `outcome` the word of the trace.
    """

    origin: str
    rule: str
    address_id: int | None
    outcome: str
    destination: Destination | None = None
    onward: str = ""
    reply: Reply | None = None


class Take(Struct, frozen=True):
    """A counter that storing one recipient charges, its limit, and the reply where it is full."""

    counter: str
    limit: int | None  # None counts without a limit
    reply: Reply
    is_storage: bool = False


class Decision(Struct, frozen=True):
    """The answer to one recipient. `rule` names what decided, in an operator's words."""

    reply: Reply
    strategy: str
    rule: str
    trace: tuple[Step, ...]
    destinations: tuple[Destination, ...] = ()
    takes: tuple[Take, ...] = ()
    tenant_id: int | None = None
    domain_id: int | None = None
    address_id: int | None = None
    detail: str = ""
    max_octets: int | None = None
    retention_days: int = 30
    asks: tuple[Ask, ...] = ()  # what the sender has to prove once the message is there
    filters: tuple[Filter, ...] = ()  # what a content filter's verdict on the message leads to
    called_ahead: tuple[Destination, ...] = ()  # mailboxes that their hops have to be asked about
    presence: str = ""  # what came of that
    branches: tuple[Branch, ...] = ()  # the graph of targets, as far as it was followed

    def refused_with(self, reply: Reply, *, by: str = "message") -> "Decision":
        """The same decision after a later check refused, mostly the whole message's."""
        step = Step(by, "refused", str(reply))
        return replace(self, reply=reply, destinations=(), takes=(), trace=(*self.trace, step))
