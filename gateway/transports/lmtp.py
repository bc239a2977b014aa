"""LMTP to the server that holds a mailbox (RFC 2033): SMTP but for LHLO and the reply to DATA.

There is one reply for each recipient after the final dot; with one recipient per transaction that
is the one reply that SMTP has. Return-Path is written by the server, which makes the final delivery
(RFC 5321 §4.4 allows one such line only).
"""

from gateway.transports.smtp import SmtpTransport


class LmtpTransport(SmtpTransport):
    """One connection to an LMTP server; its hop's protocol makes the greeting LHLO."""
