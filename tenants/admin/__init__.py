"""The admin of the control plane, one file a subject."""

from tenants.admin import address, domain, identity, job, mailbox, tenant

__all__ = ["address", "domain", "identity", "job", "mailbox", "tenant"]
