"""The admin of the data plane: what happened to mail, read-only, and Explain."""

from gateway.admin import counters, delivery, quarantine, records

__all__ = ["counters", "delivery", "quarantine", "records"]
