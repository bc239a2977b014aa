"""What counters count, as an operator says it: their keys name rows by number."""

from collections.abc import Iterable
from typing import Any

from gateway.routing.policy import rate_counter, storage_counter, tenant_rate_counter
from gateway.search.sight import Sight
from tenants.models import Address, Tenant
from tenants.octets import print_about

NUMBER_DIGITS = 18  # of a row: what fits into PostgreSQL's bigint


def _split(key: str) -> tuple[str, str]:
    kind, _, number = key.rpartition(":")
    return kind, number


STORED = _split(storage_counter(0))[0]
WORDS: dict[str, tuple[str, Any]] = {
    _split(rate_counter(0))[0]: ("messages to", Address),
    _split(tenant_rate_counter(0))[0]: ("messages to", Tenant),
    STORED: ("mail stored for", Tenant),
}


def names(keys: Iterable[str], user: Any) -> dict[str, str]:
    """A few words for each counter, as in "messages to sales@a.example". At most five queries.

    A row that is gone, or that the user may not see, is called by its number; a key of another
    make stands as it is.
    """
    counted = {key: _counted(key) for key in keys}
    sight = Sight(user)
    rows = {
        model: reads().in_bulk(pks) if (pks := _numbers(counted.values(), model)) else {}
        for model, reads in ((Address, sight.addresses), (Tenant, lambda: sight.rows(Tenant)))
    }
    return {key: _name(about, rows) if about else key for key, about in counted.items()}


def is_stored(key: str) -> bool:
    """Whether a counter is of octets that are stored, which no hour takes away."""
    return _split(key)[0] == STORED


def total(key: str, count: int) -> str:
    """A counter's figure: a size where it is of what is stored, else a number of messages."""
    return print_about(count) if is_stored(key) else f"{count:,}"


def _counted(key: str) -> tuple[str, Any, int] | None:
    """The words of a key, the model of the row that it names, and the row's number."""
    kind, number = _split(key)
    if kind not in WORDS or not number.isdecimal() or len(number) > NUMBER_DIGITS:
        return None
    return *WORDS[kind], int(number)


def _numbers(counted: Iterable[tuple[str, Any, int] | None], model: Any) -> set[int]:
    return {about[2] for about in counted if about and about[1] is model}


def _name(about: tuple[str, Any, int], rows: dict[Any, dict[int, Any]]) -> str:
    words, model, number = about
    row = rows[model].get(number)
    return f"{words} {row if row is not None else f'{model._meta.verbose_name} {number}'}"
