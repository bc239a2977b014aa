"""Runs jobs: chunk after chunk, each a transaction with its changes, outcomes and progress.

Workers and requests go through the same function; a request only does jobs that are short.
"""

from collections.abc import Callable, Sequence

import structlog
from celery import current_app
from django.db import DatabaseError, OperationalError, transaction
from psycopg.errors import DeadlockDetected

from gateway.bell import Bell
from tenants import changes
from tenants.changes import Actor
from tenants.clock import database_now
from tenants.jobs import ledger
from tenants.jobs.asking import require_asker
from tenants.jobs.kind import Kind, Outcome, StuckError, Work, find
from tenants.models import Job, JobItem

AT_ONCE = 200
TRIES = 3  # of a chunk that the database breaks off because two wait for each other
UNKNOWN = "This version of the program does not know such a job ({kind})."
State, Phase = Job.State, Job.Phase

log = structlog.get_logger()
_bell = Bell(current_app, task="tenants.tasks.run_jobs")
ring = _bell.ring


def check(job: Job) -> Job:
    """Foretell what the job would do to each item, changing none of them."""
    ledger.queue(job, Phase.CHECK, origins=(State.DRAFT, State.READY))
    return _soon(job)


def apply(job: Job) -> Job:
    """Do it. What is running, done or cancelled is left alone."""
    ledger.queue(job, Phase.APPLY, origins=(State.DRAFT, State.READY))
    return _soon(job)


def go_on(job: Job, *, actor: Actor) -> Job:
    """Try a failed job again, from where it broke off, in the name of whoever asks for that."""
    ledger.go_on(job, actor=actor)
    return _soon(job)


def undo(job: Job, *, actor: Actor, reason: str = "") -> Job:
    """A draft of the job that takes back what this one changed, last items first."""
    kind = find(job.kind)
    name = kind.undone_by if kind else "undo"
    title = f"Undo: {job.title}"
    inverse = ledger.draft(
        name, title=title, actor=actor, permission=job.permission, reason=reason, undoes=job
    )
    changed = job.items.filter(outcome=JobItem.Outcome.CHANGED).order_by("-pk")
    ledger.list_items(inverse, map(_inverse, changed.iterator()))
    return inverse


def _inverse(item: JobItem) -> JobItem:
    return JobItem(
        model=item.model,
        row_pk=item.row_pk,
        label=item.label,
        touched=item.touched,
        payload={**item.payload, "edit": str(item.context)},
    )


def _soon(job: Job) -> Job:
    """At once where it is short and may be, else by a worker, once the transaction is committed."""
    kind = find(job.kind)
    is_long = job.total > AT_ONCE or (kind is not None and kind.for_workers)
    if job.state == State.QUEUED and is_long:
        transaction.on_commit(ring)
    elif job.state == State.QUEUED and (mine := ledger.claim(job.pk)):
        _run_now(mine)
        job.refresh_from_db()
    return job


def _run_now(job: Job) -> None:
    """Where the database breaks it off, a worker goes on with it."""
    try:
        run(job)
    except DatabaseError:
        log.exception("job_broke_off", job=job.pk)
        ledger.give_back(job)
        transaction.on_commit(ring)


def work_off(is_wanted: Callable[[], bool]) -> int:
    """Run whatever is due until nothing is, or this worker is no longer wanted; the count."""
    count = 0
    while is_wanted() and (job := ledger.claim()):
        run(job, is_wanted=is_wanted)
        count += 1
    return count


def run(job: Job, *, is_wanted: Callable[[], bool] = lambda: True) -> Job:
    """Do what is left of a claimed job, unless somebody cancels it or takes it over."""
    kind = find(job.kind)
    if kind is None:
        ledger.fail(job, UNKNOWN.format(kind=job.kind))
        return job
    actor = ledger.actor_of(job)
    while is_wanted():
        try:
            is_more = _insist(job, kind, actor)
        except StuckError as stuck:
            ledger.fail(job, str(stuck))
            return job
        if not is_more:
            job.refresh_from_db()
            return job
    ledger.give_back(job)
    return job


def _insist(job: Job, kind: Kind, actor: Actor) -> bool:
    """As `_do_chunk`, once more where the chunk was the victim of a deadlock: the other is done."""
    for _ in range(TRIES - 1):
        try:
            return _do_chunk(job, kind, actor)
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
            log.info("chunk_deadlocked", job=job.pk)
    return _do_chunk(job, kind, actor)


def _do_chunk(job: Job, kind: Kind, actor: Actor) -> bool:
    """Whether there may be more to do for this worker."""
    with changes.attributed(actor, reason=job.reason) as edit:
        if not ledger.hold(job):
            return False
        require_asker(job)
        items = ledger.next_items(job, kind.chunk_rows)
        if not items:
            ledger.finish(job)
            return False
        outcomes = _outcomes(job, kind, items, actor)
        ledger.note(job, items, outcomes, edit)
    return True


def _outcomes(job: Job, kind: Kind, items: list[JobItem], actor: Actor) -> Sequence[Outcome]:
    """What comes of the items; a check takes it all back again."""
    is_trial = job.phase == Phase.CHECK
    work = Work(
        job.parameters,
        actor,
        database_now(),
        is_trial=is_trial,
        job_id=job.pk,
        reason=job.reason,
    )
    with transaction.atomic():
        outcomes = kind.apply(items, work)
        if is_trial:
            transaction.set_rollback(True)
    return outcomes
