"""The reply catalogue: every text of ours that the gateway answers stands here once.

Codes: RFC 5321 §4.2, enhanced codes: RFC 3463, 5248 and 7372. No text names a mechanism inside.
"""

from msgspec import Struct


class Reply(Struct, frozen=True):
    """An SMTP reply; `reason` is its stable name in records, metrics and the API."""

    reason: str
    code: int
    enhanced: str
    text: str

    @property
    def is_accepted(self) -> bool:
        return self.code < 400

    @property
    def is_temporary(self) -> bool:
        return 400 <= self.code < 500

    def __str__(self) -> str:
        if not self.enhanced:  # 354 is no answer yet (RFC 2034 §4)
            return f"{self.code} {self.text}"
        return f"{self.code} {self.enhanced} {self.text}"


ACCEPTED = Reply("accepted", 250, "2.1.5", "Recipient ok")
SENDER_OK = Reply("sender-ok", 250, "2.1.0", "Sender ok")

UNKNOWN_ADDRESS = Reply("unknown-address", 550, "5.1.1", "No such address here")
MAILBOX_GONE = Reply("mailbox-gone", 550, "5.1.1", "No such address here")
RELAY_DENIED = Reply("relay-denied", 550, "5.7.1", "Relaying denied")
NOT_ALLOWED_HERE = Reply("policy", 550, "5.7.1", "Recipient address refused by the domain's policy")
ADDRESS_DISABLED = Reply("disabled", 550, "5.2.1", "Address is disabled")
ADDRESS_EXPIRED = Reply("expired", 550, "5.2.1", "Address has expired")
TENANT_CLOSED = Reply("tenant-closed", 550, "5.2.1", "Address is no longer in service")
TENANT_SUSPENDED = Reply("tenant-suspended", 450, "4.2.1", "Address is temporarily out of service")
TENANT_SUSPENDED_LONG = Reply("tenant-suspended", 550, "5.2.1", "Address is out of service")
TENANT_SUSPENDED_ABUSE = Reply("tenant-suspended-abuse", 550, "5.7.1", "Delivery not authorized")
SENDER_NOT_ALLOWED = Reply(
    "sender-not-allowed", 550, "5.7.1", "Sender is not allowed to write to this address"
)
SPF_FAILED = Reply("spf", 550, "5.7.23", "Sender's domain does not allow this client (SPF)")
DKIM_FAILED = Reply("dkim", 550, "5.7.20", "Message has no valid DKIM signature")
DKIM_NOT_ALIGNED = Reply("dkim", 550, "5.7.22", "Message has no DKIM signature of a fitting domain")
DMARC_FAILED = Reply("dmarc", 550, "5.7.26", "Sender could not be authenticated (SPF, DKIM, DMARC)")
SENDER_NULL_MX = Reply("null-mx", 550, "5.7.27", "Sender's domain takes no mail (null MX)")
SPF_TROUBLE = Reply("spf", 451, "4.7.24", "SPF could not be checked, try again later")
DKIM_TROUBLE = Reply("dkim", 451, "4.7.5", "DKIM key could not be fetched, try again later")
DMARC_TROUBLE = Reply("dmarc", 451, "4.4.3", "DMARC could not be checked, try again later")
RETURN_PATH_ONLY = Reply("return-path-only", 550, "5.7.1", "This address takes only bounces")
RATE_EXCEEDED = Reply("rate", 450, "4.2.1", "Address is receiving too much mail, try again later")
TENANT_RATE_EXCEEDED = Reply("tenant-rate", 450, "4.7.1", "Quota exceeded, try again later")
STORAGE_FULL = Reply("storage", 450, "4.2.2", "Quota exceeded, try again later")
STORAGE_FULL_LONG = Reply("storage", 552, "5.2.2", "Quota exceeded")
ADDRESS_SIZE = Reply("size", 552, "5.2.3", "Message size exceeds fixed limit")
SYSTEM_SIZE = Reply("system-size", 552, "5.3.4", "Message size exceeds fixed limit")
HEADER_SIZE = Reply("header-size", 552, "5.3.4", "Message header exceeds fixed limit")
LOOP = Reply("loop", 554, "5.4.6", "Routing loop detected")
TOO_WIDE = Reply("too-wide", 451, "4.2.4", "Address leads to too many places, try again later")
TOO_MANY_HOPS = Reply("hops", 554, "5.4.6", "Too many hops")
DEAD_END = Reply("dead-end", 550, "5.1.1", "Address has nowhere to deliver to")
TOO_MANY_RECIPIENTS = Reply("too-many-recipients", 452, "4.5.3", "Too many recipients")
TROUBLE = Reply("trouble", 451, "4.3.0", "Local trouble, please try again later")
NO_SPACE = Reply("no-space", 452, "4.3.1", "Insufficient system storage, try again later")
SPAM = Reply("spam", 550, "5.7.1", "Message content is not accepted here")
VIRUS = Reply("virus", 550, "5.7.1", "Message carries a virus")
FILTERED_LATER = Reply(
    "filtered-later", 451, "4.7.1", "Message is not accepted yet, try again later"
)
UNFILTERED = Reply("unfiltered", 451, "4.7.1", "Message cannot be checked now, try again later")
BAD_ADDRESS_SYNTAX = Reply("syntax-recipient", 553, "5.1.3", "Recipient address syntax is wrong")
BAD_SENDER_SYNTAX = Reply("syntax-sender", 553, "5.1.7", "Sender address syntax is wrong")
NEEDS_SMTPUTF8 = Reply("needs-smtputf8", 553, "5.6.7", "Address needs SMTPUTF8")
HOP_WITHOUT_SMTPUTF8 = Reply(
    "no-smtputf8", 553, "5.6.7", "Address takes no internationalised mail (SMTPUTF8)"
)

OK = Reply("ok", 250, "2.0.0", "Ok")
START_CONTENT = Reply("start", 354, "", "End data with <CR><LF>.<CR><LF>")
LINE_TOO_LONG = Reply("syntax", 500, "5.5.2", "Command line too long")
HELO_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: HELO hostname")
EHLO_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: EHLO hostname")
MAIL_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
RCPT_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
BDAT_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: BDAT octets [LAST]")
DATA_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: DATA")
RSET_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: RSET")
VRFY_SYNTAX = Reply("syntax", 501, "5.5.4", "Syntax: VRFY <address>")
BAD_PARAMETER = Reply("parameter", 501, "5.5.4", "A parameter is wrong")
UNKNOWN_PARAMETER = Reply("parameter", 555, "5.5.4", "A parameter is not recognized")
NEEDS_HELO = Reply("sequence", 503, "5.5.1", "Send EHLO first")
NESTED_MAIL = Reply("sequence", 503, "5.5.1", "A sender has been given already")
TLS_ALREADY = Reply("sequence", 503, "5.5.1", "TLS is on already")
NEEDS_RCPT = Reply("sequence", 503, "5.5.1", "No recipient has been accepted")
NEEDS_MAIL = Reply("sequence", 503, "5.5.1", "Send MAIL first")
CONTENT_HAS_BEGUN = Reply("sequence", 503, "5.5.1", "The message has begun already")
BARE_LINE_ENDS = Reply("bare-line-ends", 550, "5.5.2", "Lines have to end in CR LF")
HELP = Reply("help", 214, "2.0.0", "See RFC 5321")
NO_AUTH = Reply("no-auth", 502, "5.5.1", "AUTH is not offered here")
CANNOT_VERIFY = Reply("vrfy", 252, "2.5.0", "Cannot verify, send some mail instead")
SHUTTING_DOWN = Reply("shutdown", 421, "4.3.2", "Service is shutting down, try again later")
NOT_SMTP = Reply("not-smtp", 421, "4.7.0", "This is a mail server, closing")
IDLE = Reply("idle", 421, "4.4.2", "Waited too long, closing")
TOO_SLOW = Reply("slow", 421, "4.4.2", "Message comes in too slowly, closing")
UNINTRODUCED = Reply("proxy", 421, "4.3.5", "System incorrectly configured, closing")
TOO_MANY_CONNECTIONS = Reply("connections", 421, "4.7.0", "Too many connections, try again later")
TOO_MANY_OF_CLIENT = Reply(
    "client-connections", 421, "4.7.0", "Too many connections from your address, try again later"
)
TOO_MANY_ERRORS = Reply("errors", 421, "4.7.0", "Too many errors, closing")
CLIENT_FLOOD = Reply("client-flood", 450, "4.7.28", "Too many errors from your address, try later")
UNKNOWN_COMMAND = Reply("syntax", 500, "5.5.2", "Command not recognized")


def queued(queue_id: str) -> Reply:
    """The answer to DATA once the message is durable."""
    return Reply("queued", 250, "2.0.0", f"Ok: queued as {queue_id}")


def repeated(queue_id: str) -> Reply:
    """The answer to a message that was stored before, with the queue id of that time."""
    return Reply("repeat", 250, "2.0.0", f"Ok: queued as {queue_id}")


def deferring_reasons() -> frozenset[str]:
    """Reasons that ask senders to come again; of those that end in a 5xx, such as storage, too."""
    first: dict[str, Reply] = {}
    for reply in globals().values():
        if isinstance(reply, Reply):
            first.setdefault(reply.reason, reply)
    return frozenset(reason for reason, reply in first.items() if reply.is_temporary)
