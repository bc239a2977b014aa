"""Databases, long dumps and map files of a source are read by a worker: no request waits for them.

The job's one item holds the files, packed, or the database's address: sealed, for the passwords in
them, and emptied once they were read. What comes of it is the source. A worker that ends meanwhile
leaves them to the next one, which begins anew.
"""

import base64
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from tenants import sealing
from tenants.changes import Actor
from tenants.jobs import ledger
from tenants.jobs.kind import CHANGED, Outcome, RefusedError, RowByRow, Work, register
from tenants.models import Job, JobItem, NextHop, Source, Tenant
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.keeping import keep
from tenants.moving_in.reading import MAPS, UnreadableSource, read_dump, read_live, read_maps

READ = "source.read"
PERMISSION = "tenants.add_source"
DUMP = "dump"  # what a dump is called among the files; maps are called by their parameter
FILES, DATABASE = "files", "database"  # what the item holds: one of them
QUICKLY = 1  # how well zlib packs: somebody waits
FORGOTTEN = "What was to be read is not kept any more: add the source anew."
GONE = "Its tenant or its next hop was deleted meanwhile."
NOT_READ = "Database: {error} Once that is mended, add the source anew: its address is not kept."
UNOPENED = "What was to be read is sealed by a key that is not in the worker's ENCRYPTION_KEYS."


def draft_reading(
    source: Source, files: Mapping[str, bytes], *, name: str, most_octets: int, actor: Actor
) -> Job:
    """Files that a worker is to read into a source like this one, which is not saved yet.

    `name` is what an operator calls them; each unpacks to so many octets at most.
    """
    packed = {each: _pack(octets) for each, octets in files.items()}
    return _draft(source, {FILES: packed}, name=name, actor=actor, most_octets=most_octets)


def draft_database(source: Source, url: str, *, name: str, actor: Actor) -> Job:
    """As draft_reading, for the database of this URL."""
    return _draft(source, {DATABASE: _sealed(url)}, name=name, actor=actor)


def _draft(
    source: Source, payload: Mapping[str, Any], *, name: str, actor: Actor, **more: Any
) -> Job:
    parameters = {
        "tenant": source.tenant_id,
        "next_hop": source.next_hop_id,
        "product": source.product,
        "domains": source.domains,
        "name": name,
        **more,
    }
    title = f"Read {source.get_product_display()} ({name})"
    job = ledger.draft(READ, title=title, actor=actor, permission=PERMISSION, parameters=parameters)
    ledger.list_items(job, [JobItem(label=name[:320], payload=dict(payload))])
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
        """The item that was read is emptied, whatever came of it."""
        outcomes = super().apply(items, work)
        return [_emptied(item, each) for item, each in zip(items, outcomes, strict=True)]

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        asked = work.parameters
        tenant = Tenant.objects.filter(pk=asked["tenant"]).first()
        hop = NextHop.objects.filter(pk=asked["next_hop"]).first()
        if tenant is None or hop is None:
            raise RefusedError(GONE)
        source = keep(
            _read(item.payload, asked),
            tenant=tenant,
            next_hop=hop,
            product=asked["product"],
            name=asked["name"],
            domains=asked["domains"],
            actor=work.actor,
        )
        return Outcome(CHANGED, touched=(source,))


def _read(payload: Mapping[str, Any], asked: Mapping[str, Any]) -> Inventory:
    if payload.get(DATABASE):
        return _read_database(payload[DATABASE], asked)
    if payload.get(FILES):
        return _read_files(payload[FILES], asked)
    raise RefusedError(FORGOTTEN)


def _read_database(sealed: str, asked: Mapping[str, Any]) -> Inventory:
    try:
        return read_live(asked["product"], _opened(sealed), domains=asked["domains"])
    except UnreadableSource as error:
        raise RefusedError(NOT_READ.format(error=error)) from error


def _read_files(packed: Mapping[str, str], asked: Mapping[str, Any]) -> Inventory:
    files = {name: io.BytesIO(_unpack(text)) for name, text in packed.items()}
    domains, most = asked["domains"], asked["most_octets"]
    try:
        if asked["product"] == MAPS:
            return read_maps(files, domains=domains, most_octets=most)
        return read_dump(asked["product"], files[DUMP], domains=domains, most_octets=most)
    except UnreadableSource as error:
        raise RefusedError(str(error)) from error


def _pack(octets: bytes) -> str:
    return _sealed(base64.b85encode(zlib.compress(octets, QUICKLY)).decode())


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(_opened(text)))


def _sealed(text: str) -> str:
    return sealing.seal(text, settings.ENCRYPTION_KEYS)


def _opened(sealed: str) -> str:
    try:
        return sealing.unseal(sealed, settings.ENCRYPTION_KEYS)
    except sealing.UnopenedError as error:
        raise RefusedError(UNOPENED) from error


def _emptied(item: JobItem, outcome: Outcome) -> Outcome:
    nothing = dict.fromkeys(item.payload, "")
    return Outcome(outcome.result, outcome.note, outcome.touched, learnt=nothing)


register(ReadingSource(READ))
