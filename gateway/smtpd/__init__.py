"""aiosmtpd translated: wire in, Decision out. Nothing here decides about an address."""
