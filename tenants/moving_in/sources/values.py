"""What columns mean as texts, whichever database they came from."""

from datetime import UTC, datetime

from tenants.moving_in.inventory import OldHop

_TRUE = frozenset({"1", "t", "true", "yes", "on", "y"})


def is_true(value: str | None, *, default: bool = True) -> bool:
    """A flag of MySQL, PostgreSQL or SQLite; `default` where the column is missing."""
    return default if value is None else value.strip().lower() in _TRUE


def moment(value: str | None) -> datetime | None:
    """A date and time as databases print it, UTC where no zone is named; None where there is none.

    The zero dates of MySQL are none.
    """
    if not value or value.startswith("0000-00-00"):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def epoch(value: str | None) -> datetime | None:
    """Seconds since 1970; None for NULL and 0."""
    return datetime.fromtimestamp(int(value), UTC) if value and int(value) else None


def split_targets(text: str | None) -> list[str]:
    """The right side of an alias: addresses with commas (or line ends) between them."""
    return (text or "").replace("\n", ",").split(",")


def transport(text: str | None) -> OldHop | None:
    """The server that an entry of transport(5) names; None for local delivery and for look-ups.

    `smtp:[host]:port`, `relay:[host]`, `lmtp:inet:host:port` and transports of their own whose
    next hop is written in brackets.
    """
    name, _, rest = (text or "").strip().partition(":")
    protocol = "lmtp" if name == "lmtp" else "smtp"
    if name == "lmtp" and rest.startswith("inet:"):
        rest = rest.removeprefix("inet:")
    elif not rest.startswith("["):
        return None
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    usual = 24 if protocol == "lmtp" else 25
    return OldHop(protocol, host.lower(), int(port) if port.isdigit() else usual) if host else None
