"""The admin of watching: alarms, who is told of them, and the figures on pages of others."""

from gateway.watch.admin import alarms, recipients, tenant

__all__ = ["alarms", "recipients", "tenant"]
