"""Long dumps and map files of a source are read by a worker: no request waits for 64 MB of SQL.

The job's one item holds the files, packed; it is emptied once they were read. What comes of it is
the source. A worker that ends meanwhile leaves them to the next one, which begins anew.
"""

import base64
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenants.changes import Actor
from tenants.jobs import ledger
from tenants.jobs.kind import CHANGED, Outcome, RefusedError, RowByRow, Work, register
from tenants.models import Job, JobItem, NextHop, Source, Tenant
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.keeping import keep
from tenants.moving_in.reading import MAPS, UnreadableSource, read_dump, read_maps

READ = "source.read"
PERMISSION = "tenants.add_source"
DUMP = "dump"  # what a dump is called among the files; maps are called by their parameter
QUICKLY = 1  # how well zlib packs: somebody waits
FORGOTTEN = "The file is not kept any more: upload it anew."
GONE = "Its tenant or its next hop was deleted meanwhile."


def draft_reading(
    source: Source, files: Mapping[str, bytes], *, name: str, most_octets: int, actor: Actor
) -> Job:
    """Files that a worker is to read into a source like this one, which is not saved yet.

    `name` is what an operator calls them; each unpacks to so many octets at most.
    """
    parameters = {
        "tenant": source.tenant_id,
        "next_hop": source.next_hop_id,
        "product": source.product,
        "domains": source.domains,
        "name": name,
        "most_octets": most_octets,
    }
    title = f"Read {source.get_product_display()} ({name})"
    job = ledger.draft(READ, title=title, actor=actor, permission=PERMISSION, parameters=parameters)
    packed = {each: _pack(octets) for each, octets in files.items()}
    ledger.list_items(job, [JobItem(label=name[:320], payload={"files": packed})])
    return job


def source_of(job: Job) -> Source | None:
    """The source that came of reading; None before that, or where nothing came of it."""
    item = job.items.first() if job.kind == READ and job.state == Job.State.DONE else None
    made = [pk for label, pk in item.touched if label == Source._meta.label_lower] if item else []
    return Source.objects.filter(pk__in=made).defer("inventory").first()


@dataclass(frozen=True)
class ReadingSource(RowByRow):
    chunk_rows: int = 1
    undone_by: str = ""
    for_workers: bool = True

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        return [_without_files(outcome) for outcome in super().apply(items, work)]

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        if not item.payload.get("files"):
            raise RefusedError(FORGOTTEN)
        asked = work.parameters
        tenant = Tenant.objects.filter(pk=asked["tenant"]).first()
        hop = NextHop.objects.filter(pk=asked["next_hop"]).first()
        if tenant is None or hop is None:
            raise RefusedError(GONE)
        source = keep(
            _read(item.payload["files"], work),
            tenant=tenant,
            next_hop=hop,
            product=asked["product"],
            name=asked["name"],
            domains=asked["domains"],
            actor=work.actor,
        )
        return Outcome(CHANGED, touched=(source,))


def _read(packed: Mapping[str, str], work: Work) -> Inventory:
    asked = work.parameters
    files = {name: io.BytesIO(_unpack(text)) for name, text in packed.items()}
    domains, most = asked["domains"], asked["most_octets"]
    try:
        if asked["product"] == MAPS:
            return read_maps(files, domains=domains, most_octets=most)
        return read_dump(asked["product"], files[DUMP], domains=domains, most_octets=most)
    except UnreadableSource as error:
        raise RefusedError(str(error)) from error


def _pack(octets: bytes) -> str:
    return base64.b85encode(zlib.compress(octets, QUICKLY)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def _without_files(outcome: Outcome) -> Outcome:
    return Outcome(outcome.result, outcome.note, outcome.touched, learnt={"files": {}})


register(ReadingSource(READ))
