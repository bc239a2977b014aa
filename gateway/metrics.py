"""What the gateway process counts for Prometheus; names start with `mailrouting_`."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

RECIPIENTS = Counter(
    "mailrouting_recipients_total", "Recipients decided, by reason of the reply.", ["reason"]
)
MESSAGES = Counter("mailrouting_messages_total", "Messages at the end of DATA.", ["reason"])
OCTETS = Counter("mailrouting_octets_total", "Octets of stored messages.")
LOOKUP_SECONDS = Histogram(
    "mailrouting_decision_seconds",
    "Time from RCPT TO to its decision.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
STORE_SECONDS = Histogram(
    "mailrouting_store_seconds",
    "Time from the final dot to the durable commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
AUTHENTICATION_SECONDS = Histogram(
    "mailrouting_authentication_seconds",
    "Time that SPF, DKIM and DMARC of a message took, look-ups included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 20),
)
DISK_FREE_OCTETS = Gauge(
    "mailrouting_disk_free_octets", "Room on the fullest of the disks that the gateway writes to."
)
LOOKUPS = Counter("mailrouting_lookups_total", "Look-ups answered to Postfix.", ["table", "result"])
CONNECTIONS = Gauge("mailrouting_connections", "SMTP connections open now.")
REFUSED_CONNECTIONS = Counter(
    "mailrouting_connections_refused_total", "Connections turned away at once, why.", ["reason"]
)
CUT_CONNECTIONS = Counter(
    "mailrouting_connections_cut_total", "Sessions that the gateway ended, why.", ["reason"]
)
DELAYED_ANSWERS = Counter(
    "mailrouting_answers_delayed_total", "Answers to errors that had to wait."
)
FLOOD_REFUSALS = Counter(
    "mailrouting_flood_refusals_total", "MAIL and RCPT of clients that have erred too often."
)
FILTERED = Counter(
    "mailrouting_filtered_total", "Messages by the content filter's verdict.", ["verdict"]
)
FILTER_SECONDS = Histogram(
    "mailrouting_filter_seconds",
    "Time that the content filter took for a message, or did not answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10, 30),
)
CALL_AHEAD = Counter(
    "mailrouting_call_ahead_total", "Mailboxes judged by what their next hop said.", ["presence"]
)
CALL_AHEAD_SECONDS = Histogram(
    "mailrouting_call_ahead_seconds",
    "Time that a next hop took to say whether a mailbox is there.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3, 10),
)
LOOP_LAG_SECONDS = Histogram(
    "mailrouting_loop_lag_seconds",
    "How late the event loop came to what was due, seen once a second.",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.5, 1, 5),
)


@cache
def _recipients(reason: str) -> Counter:
    return RECIPIENTS.labels(reason)


@cache
def _messages(reason: str) -> Counter:
    return MESSAGES.labels(reason)


def recipient(reason: str) -> None:
    """Count one decided recipient."""
    _recipients(reason).inc()


def message(reason: str) -> None:
    """Count one answered message."""
    _messages(reason).inc()


def called_ahead(presence: str) -> None:
    """Count one mailbox that a next hop was asked about, now or a while ago."""
    CALL_AHEAD.labels(presence).inc()


def filtered(verdict: str) -> None:
    """Count one message that the content filter was asked about, or was not for its failures."""
    FILTERED.labels(verdict).inc()


def refused_connection(reason: str) -> None:
    """Count a connection that was turned away."""
    REFUSED_CONNECTIONS.labels(reason).inc()


def cut_connection(reason: str) -> None:
    """Count a session that the gateway ended."""
    CUT_CONNECTIONS.labels(reason).inc()


def lookup(table: str, result: str) -> None:
    """Count one look-up that Postfix asked for."""
    LOOKUPS.labels(table, result).inc()
