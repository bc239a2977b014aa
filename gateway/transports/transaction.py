"""One transaction with a next hop, as values: the commands, and what the replies mean for whom.

RFC 5321 §3.3 and §4.3.2: each recipient has an answer of its own until the content is sent; after
it there is one for all, in LMTP one for each that was taken (RFC 2033 §4.2). What is said before
the content can refuse a recipient, and never means that the message has arrived.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.transports import trace
from gateway.transports.base import Envelope
from gateway.transports.content import stuff
from gateway.transports.reply import Reply

DATA = b"DATA\r\n"
_CONTROLS = bytes([*range(32), 127])


@dataclass(slots=True)
class Transaction:
    """What is said to hand one message to some recipients, and what was heard of each so far.

    `heard` are the replies to the commands, `replies` what they and those to the content mean for
    each recipient; None as long as nothing stands against it.
    """

    commands: list[bytes]
    content: list[bytes]
    replies: list[Reply | None] = field(default_factory=list)
    heard: list[Reply] = field(default_factory=list)
    is_sent: bool = False

    @property
    def is_begun(self) -> bool:
        """Whether the hop has taken MAIL."""
        return bool(self.heard) and self.heard[0].is_positive

    @property
    def awaits_content(self) -> bool:
        """Whether the hop has said 354: what comes next is content, up to the final dot."""
        return self._is_offered and self.heard[-1].code == 354

    @property
    def is_out_of_step(self) -> bool:
        """Whether the hop has taken DATA for something else: neither 354 nor a refusal."""
        return self._is_offered and self.heard[-1].code < 400 and not self.awaits_content

    @property
    def _is_offered(self) -> bool:
        return len(self.heard) == len(self.commands)

    @property
    def taken(self) -> list[int]:
        """Which recipients nothing stands against yet, by their place."""
        return [place for place, reply in enumerate(self.replies) if reply is None]

    def is_pointless(self, command: bytes) -> bool:
        """Whether a command cannot help any more, after the replies so far."""
        if not self.heard:
            return False
        are_refused = not any(reply.is_positive for reply in self.heard[1:])
        return not self.is_begun or (command == DATA and are_refused)

    def judge_offer(self) -> None:
        """Take the replies to MAIL, RCPT and DATA for what they mean, as many as came."""
        if self.heard and not self.is_begun:
            self.answer(self.heard[0])
        for place, reply in enumerate(self.heard[1 : len(self.replies) + 1]):
            if not reply.is_positive:
                self.replies[place] = self.replies[place] or reply
        if self._is_offered and self.heard[-1].code >= 400:
            self.answer(self.heard[-1])

    def answer(self, reply: Reply) -> None:
        """One reply for all that have none."""
        for place in self.taken:
            self.replies[place] = reply


def plan(
    envelopes: Sequence[Envelope], octets: bytes, extensions: Mapping[str, str]
) -> Transaction | Reply:
    """The transaction, or why the hop cannot take this message by what its EHLO said."""
    header = trace.header(envelopes)
    size = len(header) + len(octets)
    is_international = trace.needs_smtputf8(envelopes, octets)
    if is_international and "smtputf8" not in extensions:
        return Reply(553, "5.6.7 The next hop does not take internationalised mail (SMTPUTF8)")
    limit = extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < size:
        return Reply(552, f"5.3.4 The next hop takes messages of at most {limit} octets")
    words = ["MAIL", f"FROM:<{envelopes[0].sender}>"]
    if "size" in extensions:
        words.append(f"SIZE={size}")
    if "8bitmime" in extensions and not (octets.isascii() and header.isascii()):
        words.append("BODY=8BITMIME")
    if is_international:
        words.append("SMTPUTF8")
    offers_dsn = "dsn" in extensions
    if offers_dsn and envelopes[0].message_dsn:
        words.append(envelopes[0].message_dsn)
    rcpts = [
        _line("RCPT", *_rcpt(each, offers_dsn=offers_dsn, is_international=is_international))
        for each in envelopes
    ]
    return Transaction(
        [_line(*words), *rcpts, DATA], [header, stuff(octets)], [None] * len(envelopes)
    )


def _rcpt(envelope: Envelope, *, offers_dsn: bool, is_international: bool) -> Iterator[str]:
    yield f"TO:<{envelope.recipient}>"
    asked = envelope.recipient_dsn
    if offers_dsn and asked and (is_international or asked.isascii()):
        yield asked


def _line(*words: str) -> bytes:
    """A command line. Raises ValueError where a control character would make two of it."""
    line = " ".join(words).encode()
    if line.translate(None, _CONTROLS) != line:
        raise ValueError("A command must not hold control characters.")
    return line + b"\r\n"
