"""`manage.py erase_person`: erase an address from what was written down; counts by default."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from tenants import jobs
from tenants.changes import Actor
from tenants.jobs.erasing import draft_erasure
from tenants.management.here import finish
from tenants.models import JobItem


class Command(BaseCommand):
    help = "Erase a person's data, by an address that is no longer in use. It cannot be undone."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("address")
        parser.add_argument("--reason", required=True, help="who asked for it and when; it stays")
        parser.add_argument("--apply", action="store_true", help="erase; without it, only count")

    def handle(
        self, *_arguments: object, address: str, reason: str, apply: bool, **_options: object
    ) -> None:
        if address.lower() in reason.lower():
            raise CommandError("Leave the address out of the reason, which stays.")
        actor = Actor.system("erase_person")
        try:
            job = draft_erasure(address, actor=actor, reason=reason)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        finish(jobs.check(job))
        if apply:
            finish(jobs.apply(job))
        result = "outcome" if apply else "forecast"
        for item in job.items.filter(**{result: JobItem.Outcome.CHANGED}):
            self.stdout.write(f"{item.label}: {item.note or 'done'}")
        done = f"{job.title}: done."
        self.stdout.write(done if apply else "Nothing was erased: say --apply to do it.")
