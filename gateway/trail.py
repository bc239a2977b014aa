"""The trail of a message: what happened to it, from the connection to each attempt, in order.

Reads alone, a fixed number of queries whatever there is; what is longer is cut and said so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.models import Attempt, Delivery, Intervention, Message, RoutingRecord
from gateway.routing.telling import tell
from tenants.querysets import may_view

RECORDS_SHOWN = 20
DELIVERIES_SHOWN = 100
CHECKS = ("SPF", "DKIM", "DMARC")
FILTER = "content filter"
_TLS = "S"  # ESMTPS, UTF8SMTPS: RFC 3848, RFC 6531 §4.3


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a delivery; `outcome` names it, `said` is a remote's words."""

    at: datetime
    title: str
    outcome: str = ""
    text: str = ""
    said: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One delivery and what happened to it, in order."""

    delivery: Delivery
    moments: Sequence[Moment]


@dataclass(frozen=True, slots=True)
class Decided:
    """One recipient: its record, the steps to its decision in words, and its deliveries."""

    record: RoutingRecord
    steps: Sequence[tuple[str, str]]
    ways: Sequence[Way]

    @property
    def checks(self) -> str:
        """What SPF, DKIM and DMARC came to."""
        return ", ".join(checks_of(self.record))

    @property
    def verdict(self) -> str:
        """What the content filter made of it."""
        return verdict_of(self.record)


@dataclass(frozen=True, slots=True)
class Trail:
    """A message, or a recipient that was refused before there was one."""

    message: Message | None
    recipients: Sequence[Decided]
    is_longer: bool = False
    hides_deliveries: bool = False  # from whoever looks

    @property
    def is_encrypted(self) -> bool:
        """Whether it came over TLS."""
        return self.message is not None and self.message.protocol.endswith(_TLS)


def of_record(record: RoutingRecord, user: Any) -> Trail:
    """The trail of one recipient, as far as the user sees it.

    Three queries where the record comes with its message.
    """
    message = record.message if may_view(user, Message) else None
    return Trail(message, _decided([record], user), hides_deliveries=_hides(record.message, user))


def of_message(message: Message, user: Any) -> Trail:
    """The trail of all recipients of a message, or of the first of many, as the user sees it.

    Four queries.
    """
    rows = RoutingRecord.objects.visible_to(user).filter(message=message).order_by("pk")
    found = list(rows[: RECORDS_SHOWN + 1])
    records = found[:RECORDS_SHOWN]
    is_longer = len(found) > RECORDS_SHOWN
    return Trail(message, _decided(records, user), is_longer, _hides(message, user))


def _hides(message: Message | None, user: Any) -> bool:
    """Whether there may be deliveries that this user does not see."""
    return message is not None and not may_view(user, Delivery)


def checks_of(record: RoutingRecord) -> list[str]:
    """What SPF, DKIM and DMARC came to, as far as they were asked."""
    return [f"{name} {outcome}" for name, outcome, _ in record.trace if name in CHECKS]


def verdict_of(record: RoutingRecord) -> str:
    """What the content filter said and led to; empty where it was not asked."""
    said = [
        f"{outcome}: {note}"
        for name, outcome, note in record.trace
        if name == FILTER and outcome != "checked at DATA"
    ]
    return "; ".join(said)


def _decided(records: Sequence[RoutingRecord], user: Any) -> list[Decided]:
    rows = Delivery.objects.visible_to(user).filter(record__in=records).order_by("pk")
    found = rows.select_related("hop").prefetch_related("attempts", "interventions")
    ways = [Way(row, moments_of(row)) for row in found[:DELIVERIES_SHOWN]]
    return [
        Decided(
            record,
            [(outcome, tell(name, outcome, note)) for name, outcome, note in record.trace],
            [way for way in ways if way.delivery.record_id == record.pk],
        )
        for record in records
    ]


def moments_of(delivery: Delivery) -> list[Moment]:
    """Attempts and interventions, in the order of their time."""
    attempts: Iterable[Attempt] = delivery.attempts.all()
    interventions: Iterable[Intervention] = delivery.interventions.all()
    moments = [*map(_attempt, attempts), *map(_intervention, interventions)]
    return sorted(moments, key=lambda moment: moment.at)


def _attempt(attempt: Attempt) -> Moment:
    return Moment(
        attempt.started_at,
        f"Attempt {attempt.number}",
        attempt.outcome,
        attempt.remote,
        attempt.reply,
        (attempt.finished_at - attempt.started_at).total_seconds(),
    )


def _intervention(each: Intervention) -> Moment:
    title = f"{each.get_action_display().capitalize()} by {each.actor}"
    reason = f"“{each.reason}”" if each.reason else "no reason given"
    text = "; ".join(filter(None, [f"was {each.from_state}", reason, each.detail]))
    return Moment(each.at, title, "by staff", text)
