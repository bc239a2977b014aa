"""The admin of the control plane, one file a subject."""

from tenants.admin import address, domain, exports, identity, job, mailbox, source, tenant

__all__ = ["address", "domain", "exports", "identity", "job", "mailbox", "source", "tenant"]
