"""Long files and sources become imports by a worker: no request waits for 200,000 rows.

The job's one item is the file, packed; it is emptied once it was read. What comes of it is the
import, checked by whichever worker is next, and nothing is changed before somebody starts that.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tenants.changes import Actor
from tenants.imports.errors import Unreadable
from tenants.imports.reading import Format, Hints, Limits, read
from tenants.imports.rows import Kind as RowKind
from tenants.jobs import importing, ledger, shadowing, sources
from tenants.jobs.kind import CHANGED, Outcome, RefusedError, RowByRow, Work, register
from tenants.models import Job, JobItem, Source, Tenant

FILE, SOURCE = "import.file", "import.source"
KINDS = (FILE, SOURCE)
NO_ROW = "There is no row in it. Add one below the names of the columns."
FORGOTTEN = "The file is not kept any more: upload it anew."
NO_TENANT = "The tenant that the file was uploaded for was deleted meanwhile."
GONE = "The source was deleted meanwhile."


def draft_file(
    octets: bytes,
    written: Format,
    hints: Hints,
    *,
    source: str,
    tenant: Tenant | None,
    permission: str,
    actor: Actor,
) -> Job:
    """A file that a worker is to read; `source` is what an operator calls it."""
    parameters = {
        "source": source,
        "format": written.value,
        "kind": hints.kind.value if hints.kind else "",
        "next_hop": hints.next_hop,
        "domain": hints.domain,
        "tenant": tenant.pk if tenant else None,
    }
    job = ledger.draft(
        FILE, title=f"Read {source}", actor=actor, permission=permission, parameters=parameters
    )
    packed = base64.b85encode(zlib.compress(octets)).decode()
    ledger.list_items(job, [JobItem(label=source[:320], payload={"octets": packed})])
    return job


def draft_source(source: Source, *, actor: Actor, reason: str) -> Job:
    """The plan of a source that moves in, which a worker is to make."""
    job = ledger.draft(
        SOURCE,
        title=f"Plan what moves in from {source}",
        actor=actor,
        permission="tenants.add_alias",
        parameters={"moving_in": source.pk},
        reason=reason,
    )
    item = JobItem(model=source._meta.label_lower, row_pk=source.pk, label=str(source)[:320])
    ledger.list_items(job, [item])
    return job


def made_of(job: Job) -> Job | Source | None:
    """The import or the source that came of reading; None before, or where nothing came of it."""
    return import_of(job) or sources.source_of(job)


def import_of(job: Job) -> Job | None:
    """The import that came of reading; None before that, or where nothing came of it."""
    item = job.items.first() if job.kind in KINDS and job.state == Job.State.DONE else None
    made = [pk for name, pk in item.touched if name == Job._meta.label_lower] if item else []
    return Job.objects.filter(pk__in=made).first()


def forget_files() -> int:
    """Empty what was stopped or broke off, so that no file is kept longer than it is needed."""
    return ledger.empty_items(FILE) + ledger.empty_items(sources.READ)


@dataclass(frozen=True)
class ReadingFile(RowByRow):
    chunk_rows: int = 1
    undone_by: str = ""
    for_workers: bool = True

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        return [_without_octets(outcome) for outcome in super().apply(items, work)]

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        if not item.payload.get("octets"):
            raise RefusedError(FORGOTTEN)
        asked = work.parameters
        octets = zlib.decompress(base64.b85decode(item.payload["octets"]))
        return _queued(
            importing.draft(
                _rows(octets, asked),
                source=asked["source"],
                actor=work.actor,
                tenant=_tenant(asked["tenant"]),
            )
        )


@dataclass(frozen=True)
class PlanningSource(RowByRow):
    chunk_rows: int = 1
    undone_by: str = ""
    for_workers: bool = True

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        source = Source.objects.filter(pk=item.row_pk or 0).first()
        if source is None:
            raise RefusedError(GONE)
        return _queued(shadowing.draft_plan(source, actor=work.actor, reason=work.reason))


def _tenant(pk: int | None) -> Tenant | None:
    """Whose all rows are; None where each says its own. Raises RefusedError where it has gone."""
    if pk is None:
        return None
    tenant: Tenant | None = Tenant.objects.filter(pk=pk).first()
    if tenant is None:
        raise RefusedError(NO_TENANT)
    return tenant


def _rows(octets: bytes, asked: dict[str, Any]) -> list[Any]:
    kind = RowKind(asked["kind"]) if asked["kind"] else None
    hints = Hints(kind, asked["next_hop"], asked["domain"])
    try:
        rows = list(read(octets, Format(asked["format"]), hints=hints, limits=Limits()))
    except Unreadable as error:
        raise RefusedError(str(error)) from error
    if not rows:
        raise RefusedError(NO_ROW)
    return rows


def _queued(job: Job) -> Outcome:
    ledger.queue(job, Job.Phase.CHECK, origins=(Job.State.DRAFT,))
    return Outcome(CHANGED, f"{job.total:,} rows", touched=(job,))


def _without_octets(outcome: Outcome) -> Outcome:
    return Outcome(outcome.result, outcome.note, outcome.touched, learnt={"octets": ""})


register(ReadingFile(FILE))
register(PlanningSource(SOURCE))
