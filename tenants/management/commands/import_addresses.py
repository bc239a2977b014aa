"""`manage.py import_addresses`: a file compared with what is there, and taken where asked."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import jobs
from tenants.changes import Actor
from tenants.imports.errors import Unreadable
from tenants.imports.reading import Format, Hints, Limits, guess_format, read
from tenants.imports.rows import Kind, Refused, Row
from tenants.jobs import importing
from tenants.management.here import finish
from tenants.models import Job, JobItem, Tenant

OCTETS_PER_ROW = 500
CHANGED = JobItem.Outcome.CHANGED


class Command(BaseCommand):
    help = "Compare a file with what is there. Nothing is changed without --take-good."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--tenant", default="", help="external id of whose all rows are")
        parser.add_argument("--format", choices=[each.value for each in Format])
        parser.add_argument("--type", choices=[each.value for each in Kind], help="what rows are")
        parser.add_argument("--next-hop", default="", help="where a map's mailboxes are")
        parser.add_argument("--domain", default="", help="that names of an aliases file belong to")
        parser.add_argument("--take-good", action="store_true", help="write the rows that are good")
        parser.add_argument("--reason", default="", help="stands in the history")
        parser.add_argument("--max-rows", type=int, default=Limits().rows)

    def handle(self, *_arguments: object, **options: Any) -> None:
        tenant = _tenant(options["tenant"])
        rows = _read(options["file"], options)
        job = importing.draft(
            rows,
            source=options["file"].name,
            actor=Actor.system("import_addresses"),
            tenant=tenant,
            reason=options["reason"],
        )
        finish(jobs.check(job))
        self._tell(job)
        if options["take_good"]:
            finish(jobs.apply(job))
            self.stdout.write(f"Taken: {job.changed:,}. Refused: {job.refused:,}.")
        elif job.changed:
            self.stdout.write("Nothing was changed: --take-good takes the good rows.")

    def _tell(self, job: Job) -> None:
        for item in job.items.order_by("pk").iterator():
            if item.forecast == JobItem.Outcome.UNCHANGED:
                continue
            told = item.note or "; ".join(map(_told, item.payload.get("differences", ())))
            verdict = item.payload["verdict"] if item.forecast == CHANGED else item.forecast
            self.stdout.write(f"row {item.payload['number']} {item.label}: {verdict}: {told}")
        counts = f"{job.changed:,} good, {job.unchanged:,} unchanged, {job.refused:,} refused"
        self.stdout.write(f"{job.total:,} rows: {counts}.")


def _told(difference: dict[str, str]) -> str:
    return f"{difference['field']}: {difference['old'] or '-'} → {difference['new'] or '-'}"


def _tenant(external_id: str) -> Tenant | None:
    tenant = Tenant.objects.filter(external_id=external_id).first()
    if external_id and tenant is None:
        raise CommandError(f"There is no tenant with the external id {external_id!r}.")
    return tenant


def _read(file: Path, options: dict[str, Any]) -> list[Row | Refused]:
    rows = options["max_rows"]
    limits = Limits(octets=max(Limits().octets, rows * OCTETS_PER_ROW), rows=rows)
    kind = Kind(options["type"]) if options["type"] else None
    hints = Hints(kind, options["next_hop"], options["domain"])
    try:
        octets = file.read_bytes()
        name = options["format"] or guess_format(file.name, octets)
        if not name:
            raise CommandError("Say how the file is written: --format.")
        return list(read(octets, Format(name), hints=hints, limits=limits))
    except (Unreadable, OSError) as error:
        raise CommandError(str(error)) from error
