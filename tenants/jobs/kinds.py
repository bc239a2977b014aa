"""Every module that registers kinds of jobs, so that any process that works them off knows all."""

from tenants.jobs import (
    bulk,
    deleting,
    deliveries,
    erasing,
    importing,
    moving,
    reading,
    rerouting,
    sending,
    shadowing,
    sources,
    undoing,
)

__all__ = [
    "bulk",
    "deleting",
    "deliveries",
    "erasing",
    "importing",
    "moving",
    "reading",
    "rerouting",
    "sending",
    "shadowing",
    "sources",
    "undoing",
]
