"""Records and refusals as the gateway writes them, at a moment of the test's choice."""

from datetime import datetime
from typing import Any

from gateway.ids import uuid7
from gateway.models import RefusalCount, RoutingRecord


def record(at: datetime, *, is_accepted: bool = True, **fields: Any) -> RoutingRecord:
    """One recipient, with an id that was made at that moment."""
    key = fields.pop("key", "x@a.example")
    given = {
        "recipient": key,
        "strategy": "alias",
        "rule": "test",
        "token": "t",
        "queue_id": "q",
        "reason": "accepted" if is_accepted else "unknown-address",
        "reply": "250" if is_accepted else "550",
    }
    return RoutingRecord.objects.create(
        id=uuid7(now_ms=int(at.timestamp() * 1000)),
        at=at,
        key=key,
        accepted=is_accepted,
        **(given | fields),
    )


def refusals(at: datetime, reason: str, count: int, *, domain: str = "a.example") -> RefusalCount:
    minute = at.replace(second=0, microsecond=0)
    return RefusalCount.objects.create(
        domain_name=domain, reason=reason, minute=minute, count=count
    )
