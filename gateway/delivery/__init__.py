"""The outbox: deliveries are rows that are claimed, sent and settled; free of Celery.

queue.py holds the three statements, pump.py runs them for many deliveries at once, routes.py says
where one goes, actions.py and rerouting.py are what operators may do.
"""

from gateway.delivery.actions import fail, hold, reachable, release, retry_now, why_not
from gateway.delivery.outages import give_up
from gateway.delivery.pump import Drain, drain
from gateway.delivery.queue import Claimed, Settlement, claim, is_anything_due, settle
from gateway.delivery.rerouting import reroute

__all__ = [
    "Claimed",
    "Drain",
    "Settlement",
    "claim",
    "drain",
    "fail",
    "give_up",
    "hold",
    "is_anything_due",
    "reachable",
    "release",
    "reroute",
    "retry_now",
    "settle",
    "why_not",
]
