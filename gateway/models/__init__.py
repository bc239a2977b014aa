"""What happened to mail: messages, bodies, routing records, deliveries, attempts and counters.

Rows here are written by intake.py, refusals.py, delivery/ and retention.py alone. They outlive
what they point at in the control plane, so their references there carry no database constraint.
"""

from gateway.models.delivery import Attempt, Delivery, Intervention, Outage, Quarantined
from gateway.models.message import Body, BodyReading, Message, Receipt, RoutingRecord
from gateway.models.tally import AddressUse, Concern, Counter, RefusalCount, Watermark

__all__ = [
    "AddressUse",
    "Attempt",
    "Body",
    "BodyReading",
    "Concern",
    "Counter",
    "Delivery",
    "Intervention",
    "Message",
    "Outage",
    "Quarantined",
    "Receipt",
    "RefusalCount",
    "RoutingRecord",
    "Watermark",
]
