"""Verifying DKIM signatures (RFC 6376, 8301, 8463)."""
