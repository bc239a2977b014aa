"""The statements about jobs: draft, list, claim, note, end. The only writer of Job and JobItem.

The database's clock decides. Each claim raises the fence; only who holds the newest one may note
anything, and every note is made while the job's row is locked, so a chunk is done once.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from tenants.changes import Actor
from tenants.jobs.kind import CHANGED, REFUSED, UNCHANGED, Outcome
from tenants.models import Job, JobItem

CRASHES_ALLOWED = 3
LISTED_AT_ONCE = 2000
DRAFT_LASTS = timedelta(days=1)
BROKE_OFF = (
    "The work broke off three times at the same place; the log of the worker says why. "
    "What was done before stands, and can be undone."
)
State, Phase = Job.State, Job.Phase

_LIST = """
INSERT INTO tenants_jobitem
    (job_id, model, row_pk, label, payload, forecast, outcome, note, touched)
SELECT %s, %s, chosen.row_pk, chosen.row_label, '{{}}', '', '', '', '[]' FROM ({rows}) AS chosen
"""


def draft(
    kind: str,
    *,
    title: str,
    actor: Actor,
    permission: str,
    parameters: dict[str, Any] | None = None,
    reason: str = "",
    undoes: Job | None = None,
) -> Job:
    """A job without items, that nobody works at yet."""
    return Job.objects.create(
        kind=kind,
        title=title[:200],
        permission=permission,
        parameters=parameters or {},
        reason=reason[:200],
        undoes=undoes,
        **_asked_by(actor),
    )


def _asked_by(actor: Actor) -> dict[str, Any]:
    return {
        "user": actor.user,
        "actor_name": actor.label,
        "surface": actor.surface,
        "request_id": actor.request_id,
        "client": actor.client,
    }


def actor_of(job: Job) -> Actor:
    """Whoever asked for the job, as an actor whose changes name it."""
    return Actor(
        surface=job.surface,
        user=job.user,
        name=job.actor_name,
        request_id=job.request_id,
        client=job.client,
        job=job.pk,
    )


def list_rows(job: Job, rows: "QuerySet[Any]", *, label: str) -> int:
    """These rows become the job's items, in their order, named by a column; one statement.

    The count comes back: it is exact, whatever happens to the rows afterwards.
    """
    chosen = rows.values(row_pk=F("pk"), row_label=F(label))
    sql, parameters = chosen.query.sql_with_params()
    name = rows.model._meta.label_lower
    with connection.cursor() as cursor:
        cursor.execute(_LIST.format(rows=sql), [job.pk, name, *parameters])
        return _listed(job, cursor.rowcount)


def list_items(job: Job, items: Iterable[JobItem]) -> int:
    """These become the job's items, in their order; read as they are written, so it may be long."""
    rest, count = iter(items), 0
    with transaction.atomic():
        while batch := list(islice(rest, LISTED_AT_ONCE)):
            for item in batch:
                item.job = job
            count += len(JobItem.objects.bulk_create(batch))
        return _listed(job, count)


def _listed(job: Job, count: int) -> int:
    _update(job, total=F("total") + count)
    job.refresh_from_db(fields=["total"])
    return count


def describe(job: Job, **values: Any) -> Job:
    """Set title, reason or parameters of a job that nobody works at."""
    if Job.objects.filter(pk=job.pk, state__in=(State.DRAFT, State.READY)).update(**values):
        job.refresh_from_db()
    return job


def take_over(job: Job, *, actor: Actor, reason: str) -> Job:
    """Whoever starts what somebody else drafted answers for it: the history names him."""
    return describe(job, reason=reason, **_asked_by(actor))


def queue(job: Job, phase: str, *, origins: Sequence[str]) -> bool:
    """Let workers take the job for a phase; false where its state is none of the origins."""
    fresh = {"handled": 0, "changed": 0, "unchanged": 0, "refused": 0, "cursor": 0, "crashes": 0}
    rows = Job.objects.filter(pk=job.pk, state__in=origins)
    is_mine = rows.update(state=State.QUEUED, phase=phase, finished_at=None, **fresh)
    job.refresh_from_db()
    return bool(is_mine)


def go_on(job: Job, *, actor: Actor) -> bool:
    """Queue a failed job again, from where it broke off; false where it is not failed.

    Whoever does that answers for the rest of it, as who starts one does.
    """
    rows = Job.objects.filter(pk=job.pk, state=State.FAILED)
    fresh = {"crashes": 0, "finished_at": None, "result": _without_error(job.result)}
    is_mine = rows.update(state=State.QUEUED, **fresh, **_asked_by(actor))
    job.refresh_from_db()
    return bool(is_mine)


def _without_error(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in result if name != "error"}


def is_any_due() -> bool:
    """Whether a worker would find something to do."""
    return Job.objects.due(Now()).exists()


def claim(job_id: int | None = None) -> Job | None:
    """A job that is this worker's until its lease is over; None where none is due.

    With an id, that one or none. What broke off too often is failed on the way.
    """
    with transaction.atomic():
        due = Job.objects.due(Now()).select_for_update(skip_locked=True, of=("self",))
        job = due.filter(Q() if job_id is None else Q(pk=job_id)).first()
        if job is None:
            return None
        crashes = job.crashes + (job.state == State.RUNNING)
        if crashes < CRASHES_ALLOWED:
            return _take(job, crashes)
        _end(job, State.FAILED, crashes=crashes, result={**job.result, "error": BROKE_OFF})
    return claim(job_id)


def _take(job: Job, crashes: int) -> Job:
    values = {"state": State.RUNNING, "crashes": crashes, "fence": F("fence") + 1}
    _update(job, **values, lease_until=_lease_end(), started_at=job.started_at or Now())
    job.refresh_from_db()
    return job


def hold(job: Job) -> bool:
    """Lock the job until the transaction ends; false where it is no longer this worker's."""
    mine = Job.objects.filter(pk=job.pk, fence=job.fence, state=State.RUNNING)
    return bool(mine.select_for_update().values_list("pk"))


def next_items(job: Job, limit: int) -> list[JobItem]:
    """The first items that are not done, in order; empty once all are."""
    return list(job.items.filter(pk__gt=job.cursor)[:limit])


def note(job: Job, items: Sequence[JobItem], outcomes: Sequence[Outcome], edit: UUID) -> None:
    """What came of a chunk; the job's progress with it. The edit names it in the history."""
    is_check = job.phase == Phase.CHECK
    for item, outcome in zip(items, outcomes, strict=True):
        setattr(item, "forecast" if is_check else "outcome", outcome.result)
        item.note = outcome.note
        item.payload = {**item.payload, **outcome.learnt}
        if not is_check and outcome.result == CHANGED:
            item.context = edit
            item.touched = [[row._meta.label_lower, row.pk] for row in outcome.touched]
    fields = ["forecast", "note"] if is_check else ["outcome", "note", "context", "touched"]
    if any(outcome.learnt for outcome in outcomes):
        fields.append("payload")
    JobItem.objects.bulk_update(items, fields)
    _advance(job, items, [outcome.result for outcome in outcomes])


def _advance(job: Job, items: Sequence[JobItem], results: Sequence[str]) -> None:
    job.handled += len(items)
    job.changed += results.count(CHANGED)
    job.unchanged += results.count(UNCHANGED)
    job.refused += results.count(REFUSED)
    job.cursor, job.crashes = items[-1].pk, 0
    names = ("handled", "changed", "unchanged", "refused", "cursor", "crashes")
    _update(job, **{name: getattr(job, name) for name in names}, lease_until=_lease_end())


def finish(job: Job) -> None:
    """The phase is over: a checked job waits to be started, an applied one is done."""
    if job.phase == Phase.CHECK:
        forecast = {"changed": job.changed, "unchanged": job.unchanged, "refused": job.refused}
        _end(job, State.READY, result={**job.result, "forecast": forecast})
    else:
        _end(job, State.DONE)


def fail(job: Job, sentence: str) -> None:
    """Give a job up for a reason that its page shows."""
    _end(job, State.FAILED, result={**job.result, "error": sentence})


def give_back(job: Job) -> None:
    """Let another worker take the job at once."""
    mine = Job.objects.filter(pk=job.pk, fence=job.fence, state=State.RUNNING)
    mine.update(state=State.QUEUED, lease_until=None)
    job.refresh_from_db()


def cancel(job: Job) -> bool:
    """Stop a job after the chunk that runs; what was done stands. False where it is over."""
    ended = (State.DONE, State.FAILED, State.CANCELLED)
    rows = Job.objects.filter(pk=job.pk).exclude(state__in=ended)
    is_mine = rows.update(state=State.CANCELLED, lease_until=None, finished_at=Now())
    job.refresh_from_db()
    return bool(is_mine)


def forget(older_than: timedelta) -> int:
    """Delete the jobs that ended longer ago, and drafts that nobody started; the count."""
    ended = Q(finished_at__lt=Now() - older_than)
    old = Job.objects.filter(ended | _waiting_since(DRAFT_LASTS))
    count = old.count()
    old.delete()
    return count


def forget_drafts(kind: str, older_than: timedelta) -> int:
    """Delete what nobody started of a kind that is not to wait for a day; the count."""
    old = Job.objects.filter(_waiting_since(older_than), kind=kind)
    count = old.count()
    old.delete()
    return count


def _waiting_since(span: timedelta) -> Q:
    """Jobs that nobody started for so long since they could be; a check may itself take long."""
    drafts = Q(state=State.DRAFT, created_at__lt=Now() - span)
    return drafts | Q(state=State.READY, finished_at__lt=Now() - span)


def strip(kind: str, older_than: timedelta, *, of: str) -> int:
    """Take a parameter out of the jobs of a kind that broke off or were stopped; the count."""
    ended = Job.objects.filter(kind=kind, state__in=(State.FAILED, State.CANCELLED))
    old = ended.filter(finished_at__lt=Now() - older_than, parameters__has_key=of)
    for job in (found := list(old)):
        _update(job, parameters={key: job.parameters[key] for key in job.parameters if key != of})
    return len(found)


def empty_items(kind: str) -> int:
    """Take what the items of a kind hold away, where no worker has the job or will; the count."""
    is_open = Q(job__state__in=(State.DRAFT, State.QUEUED, State.RUNNING))
    items = JobItem.objects.filter(job__kind=kind).exclude(is_open).exclude(payload={})
    return items.update(payload={})


def _end(job: Job, state: str, **values: Any) -> None:
    _update(job, state=state, lease_until=None, finished_at=Now(), **values)
    job.refresh_from_db()


def _update(job: Job, **values: Any) -> None:
    Job.objects.filter(pk=job.pk).update(**values)


def _lease_end() -> models.Expression:
    end: models.Expression = Now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)
    return end
