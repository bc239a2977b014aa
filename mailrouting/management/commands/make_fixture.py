"""`manage.py make_fixture`: fill a database with an installation of a million addresses."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mailrouting.fixture import build
from mailrouting.fixture.build import Fixture
from mailrouting.fixture.population import Population
from mailrouting.progress import Bar

ALIASES, RECORDS = 1_000_000, 10_000_000


class Command(BaseCommand):
    help = (
        "Fill the database with made-up tenants, domains, aliases and mail, to measure pages on. "
        "At full size it takes about a quarter of an hour and 20 GB."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--aliases", type=int, default=ALIASES, help="(1,000,000)")
        parser.add_argument("--records", type=int, default=RECORDS, help="(10,000,000)")
        parser.add_argument(
            "--beside-real-data",
            action="store_true",
            help="add it to an installation that has tenants of its own; nothing removes it again",
        )

    def handle(
        self,
        *_arguments: object,
        aliases: int,
        records: int,
        beside_real_data: bool,
        **_options: object,
    ) -> None:
        if aliases < 100 or records < 0:
            raise CommandError("A fixture has at least 100 aliases, and no fewer than 0 records.")
        if build.has_fixture():
            raise CommandError("There is a fixture in this database already; take an empty one.")
        if not (beside_real_data or build.is_only_fixture()):
            raise CommandError(
                "This installation has tenants of its own, and nothing takes a fixture out again: "
                "take another database, or say --beside-real-data."
            )
        people = Population(aliases, timezone.now())
        bar = Bar(Fixture.size(people, records))
        Fixture(people, records, bar).write()
        bar.end()
        self.stdout.write("Written. Gathering statistics ...")
        build.tidy()
        self.stdout.write(f"{aliases:,} aliases and {records:,} routing records are ready.")
