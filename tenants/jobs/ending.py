"""What a job says of addresses that it ends while others forward to them.

Nobody is kept from it: the job's page lists whom it reaches before it is started, and they stand
with each row afterwards.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from django.db.models import Model

from tenants.forwards import Forwarders, forwarders
from tenants.jobs.kind import CHANGED, Outcome, Work
from tenants.models import Address, JobItem

FORWARDED = "forwards_here"
"""Under this in an item's payload: how many forward to its address."""

ITEMS_ASKED = 10_000
"""Of a larger job only the rows of the same chunk are known to end with an address."""


def ending(
    items: Sequence[JobItem], work: Work, apply: Callable[[], Iterable[Outcome]]
) -> list[Outcome]:
    """The outcomes of `apply`, which ends the addresses of its items, with who forwards to them.

    Four queries more, and as many again where somebody does.
    """
    found = _forwarders(items, work)
    return [
        _told(each, found.get(item.row_pk or 0)) for item, each in zip(items, apply(), strict=True)
    ]


def told(outcome: Outcome, row: Model) -> Outcome:
    """The outcome of an edit after which an address takes no mail, now or some day. Four queries.

    Of one that lasts, and of other rows, there is nothing to tell.
    """
    if not isinstance(row, Address) or (row.enabled and row.expires_at is None):
        return outcome
    return _told(outcome, forwarders([row]).get(row.pk))


def _forwarders(items: Sequence[JobItem], work: Work) -> dict[int, Forwarders]:
    """Those of the same job end together, so it tells nothing of them to each other."""
    named = Address._meta.label_lower, "tenants.alias", "tenants.roleaddress"
    keys = [item.row_pk for item in items if item.model in named]
    rows = list(Address.objects.alive().filter(pk__in=keys))
    if not rows or not forwarders(rows):
        return {}
    asked = JobItem.objects.filter(job=work.job_id).values_list("row_pk", flat=True)
    all_of_it = list(asked[: ITEMS_ASKED + 1])
    return forwarders(rows, ending=keys if len(all_of_it) > ITEMS_ASKED else all_of_it)


def _told(outcome: Outcome, found: Forwarders | None) -> Outcome:
    if found is None or outcome.result != CHANGED:
        return outcome
    note = f"{outcome.note} {found.losing()}".strip()
    return replace(outcome, note=note, learnt={**outcome.learnt, FORWARDED: len(found)})
