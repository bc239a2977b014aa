"""What a session knows: what its process shares, who is speaking, and the message on its way."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from msgspec import Struct

from gateway.call_ahead import CallAhead
from gateway.directory import PostgresDirectory
from gateway.disk import Room
from gateway.incoming import Envelope, Recipient
from gateway.inspection.inspector import Inspection, Inspector, apply_findings
from gateway.intake import Intake
from gateway.refusals import RefusalLog
from gateway.routing.decision import Decision
from gateway.routing.facts import Platform
from gateway.routing.replies import Reply
from gateway.routing.split import conflicts, smallest_limit
from gateway.smtpd.command import Mail
from gateway.smtpd.content import Content
from gateway.smtpd.limits import IpAddress
from gateway.smtpd.looking import Looking
from gateway.smtpd.turns import Turns


class Terms(Struct, frozen=True):
    """On what terms this gateway takes mail, as far as the operator chooses."""

    normalises_line_ends: bool = False
    offers_dsn: bool = False


@dataclass(slots=True, eq=False)
class Services:
    """What every session of a process shares."""

    directory: PostgresDirectory
    intake: Intake
    refusals: RefusalLog
    call_ahead: CallAhead
    platform: Platform
    max_recipients: int
    data_budget_octets: int
    terms: Terms = field(default_factory=Terms)
    inspectors: tuple[Inspector, ...] = ()
    room: Room = field(default_factory=Room)
    data_in_flight: int = 0
    looking: Looking = field(default_factory=Looking)
    turns: Turns = field(default_factory=Turns)

    def reserve(self, octets: int) -> bool:
        """Whether so many more octets of messages may be in memory; they are counted at once."""
        if self.data_in_flight + octets > self.data_budget_octets:
            return False
        self.data_in_flight += octets
        return True


class Client(Struct):
    """Who is speaking: changes with EHLO and STARTTLS."""

    address: IpAddress | None = None
    helo: str = ""
    is_extended: bool = False
    is_encrypted: bool = False
    text: str = "unknown"

    def protocol(self, *, smtputf8: bool) -> str:
        """The keyword of the Received line (RFC 3848, RFC 6531 §4.3)."""
        if not self.is_extended:
            return "SMTP"
        return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if self.is_encrypted else "")


class Transaction(Struct):
    """One message on its way, from MAIL to the answer after its final dot."""

    id: UUID
    mail: Mail
    envelope: Envelope
    recipients: dict[str, Recipient] = {}  # by key
    accepted: int = 0  # RCPTs, one recipient said twice being two
    content: Content | None = None
    refusal: Reply | None = None  # of content that is already known to be refused
    top: bytes = b""  # header lines that inspections put above the message
    claimed: tuple[re.Pattern[bytes], ...] = ()  # names of fields that only inspections may set
    said: dict[str, str] = {}  # what the log line says of them
    reserved_octets: int = 0
    is_being_stored: bool = False
    is_abandoned: bool = False  # its client went before it was answered

    @property
    def max_octets(self) -> int | None:
        """The smallest limit of all recipients; None without one."""
        return smallest_limit(recipient.decision for recipient in self.recipients.values())

    @property
    def seed(self) -> bytes:
        """What two deliveries of the same message by the same sender share besides its octets."""
        return "\0".join([self.envelope.sender, *sorted(self.recipients), ""]).encode()

    def conflicts_with(self, decision: Decision) -> bool:
        """Whether one answer to DATA could not be true for this recipient too."""
        first = next(iter(self.recipients.values()), None)
        is_declared = self.mail.declared_octets is not None
        return first is not None and conflicts(
            first.decision, decision, is_size_declared=is_declared
        )

    def heed(self, found: Sequence[Inspection]) -> None:
        """Keep what inspections found: for each recipient, for the header, for the log line."""
        self.recipients = {key: apply_findings(r, found) for key, r in self.recipients.items()}
        self.top = b"".join(inspection.header for inspection in found)
        self.claimed = tuple(each.claimed for each in found if each.claimed is not None)
        for inspection in found:
            self.said |= inspection.said


class Chunk(Struct, frozen=True):
    """What a BDAT announced; `refusal` where its octets come for nothing."""

    is_last: bool
    refusal: Reply | None = None
