"""The admin of watching: alarms, who is told of them, and the figures on the first page."""

from gateway.watch.admin import alarms, recipients

__all__ = ["alarms", "recipients"]
