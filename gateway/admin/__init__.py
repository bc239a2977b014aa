"""The admin of the data plane: what happened to mail, read-only, and Explain."""

from gateway.admin import counters, delivery, records

__all__ = ["counters", "delivery", "records"]
