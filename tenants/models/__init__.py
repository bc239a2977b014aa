"""Models of the control plane; rules stand here once, on the fields, clean() and constraints."""

from tenants.models.address import (
    Address,
    Alias,
    RoleAddress,
    SubaddressRule,
)
from tenants.models.domain import Domain, DomainCheck
from tenants.models.export import Export
from tenants.models.forewarning import Forewarning
from tenants.models.identity import SendAsIdentity
from tenants.models.job import Job, JobItem
from tenants.models.mailbox import Mailbox, NextHop
from tenants.models.saved_view import SavedView
from tenants.models.source import Source
from tenants.models.staff import Account, AccountGroup
from tenants.models.target import Target
from tenants.models.tenant import Membership, Plan, Tenant

__all__ = [
    "Account",
    "AccountGroup",
    "Address",
    "Alias",
    "Domain",
    "DomainCheck",
    "Export",
    "Forewarning",
    "Job",
    "JobItem",
    "Mailbox",
    "Membership",
    "NextHop",
    "Plan",
    "RoleAddress",
    "SavedView",
    "SendAsIdentity",
    "Source",
    "SubaddressRule",
    "Target",
    "Tenant",
]
