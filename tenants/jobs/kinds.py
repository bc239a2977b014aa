"""Every module that registers kinds of jobs, so that any process that works them off knows all."""

from tenants.jobs import importing, sending, shadowing

__all__ = ["importing", "sending", "shadowing"]
