"""The kinds of cases: what their tables are called, and how a figure of theirs is written."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import Figure

RATES = (
    "In brackets: median and 99th percentile of the time to {reply}, in milliseconds, "
    "and the load generator's share of one core."
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One table."""

    title: str
    note: str
    write: Callable[[Figure], str]


def rate(figure: Figure) -> str:
    share = "" if figure.load_cpu_share is None else f", {figure.load_cpu_share:.0%}"
    return f"{figure.per_second or 0:,.0f} ({times(figure)}{share})"


def growth(figure: Figure) -> str:
    return f"{figure.memory_mib or 0:+,.1f} MiB ({times(figure)})"


def peak(figure: Figure) -> str:
    tries = f"{figure.deferred or 0:,.0f} of {figure.accepted or 0:,.0f}"
    return f"{figure.memory_mib or 0:,.0f} MiB; {rate(figure)}; {tries}"


def staleness(figure: Figure) -> str:
    return f"{figure.stale:.0f} of {figure.accepted:,.0f} ({times(figure)})"


def times(figure: Figure) -> str:
    return f"{figure.p50_ms:.2f} / {figure.p99_ms:.2f}"


KINDS = {
    "rcpt": Kind(
        "RCPT decisions a second, half of them unknown addresses",
        RATES.format(reply="the reply"),
        rate,
    ),
    "pipelined": Kind(
        "RCPT decisions a second, 20 to a MAIL in one write, half of them unknown addresses",
        RATES.format(reply="the last of the replies"),
        rate,
    ),
    "away": Kind(
        "RCPT decisions a second with the database far away",
        RATES.format(reply="the reply"),
        rate,
    ),
    "domains": Kind(
        "RCPT decisions a second by number of domains",
        RATES.format(reply="the reply"),
        rate,
    ),
    "messages": Kind("Durable messages a second", RATES.format(reply="the 250"), rate),
    "reconnecting": Kind(
        "Durable messages a second, a new connection for each",
        RATES.format(reply="the 250, connecting included"),
        rate,
    ),
    "authenticated": Kind(
        "Durable messages a second with SPF, DKIM and DMARC checked",
        RATES.format(reply="the 250"),
        rate,
    ),
    "large": Kind("Durable messages of 1 MiB a second", RATES.format(reply="the 250"), rate),
    "crowd": Kind(
        "Messages of 25 MB over many connections, and small ones beside them",
        "The most memory that one process had; small messages a second over four connections "
        "more; how many tries were answered 4xx and made again, and how many messages were taken. "
        + RATES.format(reply="the 250 of small ones, further tries included"),
        peak,
    ),
    "end-to-end": Kind(
        "Messages a second accepted, delivered to smtp-sink and settled",
        RATES.format(reply="the 250"),
        rate,
    ),
    "idle": Kind(
        "Memory that idle connections add",
        "All processes of the server together, what they share counted once. In brackets: median "
        "and 99th percentile of the time in which a fresh client is greeted meanwhile, in "
        "milliseconds.",
        growth,
    ),
    "freshness": Kind(
        "Stale replies after an edit",
        "Each edit is committed through the panel's write path, and both gateways are asked at "
        "once. In brackets: median and 99th percentile of the time from the commit to the second "
        "reply, in milliseconds.",
        staleness,
    ),
}
