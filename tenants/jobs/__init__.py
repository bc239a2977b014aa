"""Work on many rows: rows themselves, so that it survives the request and the worker.

A job lists its items, may be checked first (a dry run of the very code that does the work) and is
then applied in chunks. Each chunk is one transaction: its changes, what came of each item and the
job's progress are committed together, so a worker that is killed loses nothing and the next one
goes on with the first item that is not done. No item is done twice.

    job = jobs.draft("addresses.disable", title="Disable aliases", actor=actor,
                     permission="tenants.change_alias", parameters={…}, reason="…")
    jobs.list_rows(job, Alias.objects.filter(…), label="key")   # one INSERT … SELECT, or
    jobs.list_items(job, (JobItem(label=…, payload={…}) for line in …))
    jobs.check(job)     # dry run; the job is READY then, each item has a forecast and a note
    jobs.apply(job)     # the work itself; may come without a check

`check` and `apply` run jobs of at most AT_ONCE items before they return, through the same code as
a worker does; larger ones wait for a worker (a bell now, beat's sweep at the latest). Between
chunks `cancel(job)` stops them. `undo(job, …)` drafts the inverse job.

A new kind of work is a class with the few names of `Kind`, registered by `@register` in a module
that `tenants/jobs/kinds.py` imports. Most are a `RowByRow`: one function that changes one item
through tenants.changes and says what came of it; what the rules refuse becomes the item's note.
Whoever may start, cancel or undo a job holds the permission that it was drafted with.
The actor it is handed is whoever asked, on the surface where they did, with the job's number: the
history shows each change with its job, and undoes them by it. `take_over` makes that whoever starts
it, where somebody else drafted it.
"""

from tenants.jobs.kind import (
    CHUNK_ROWS,
    Kind,
    Outcome,
    RefusedError,
    RowByRow,
    StuckError,
    Work,
    register,
)
from tenants.jobs.ledger import (
    cancel,
    claim,
    describe,
    draft,
    forget,
    is_any_due,
    list_items,
    list_rows,
    take_over,
)
from tenants.jobs.runner import AT_ONCE, apply, check, go_on, ring, run, undo, work_off

__all__ = [
    "AT_ONCE",
    "CHUNK_ROWS",
    "Kind",
    "Outcome",
    "RefusedError",
    "RowByRow",
    "StuckError",
    "Work",
    "apply",
    "cancel",
    "check",
    "claim",
    "describe",
    "draft",
    "forget",
    "go_on",
    "is_any_due",
    "list_items",
    "list_rows",
    "register",
    "ring",
    "run",
    "take_over",
    "undo",
    "work_off",
]
