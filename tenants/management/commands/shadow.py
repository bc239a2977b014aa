"""`manage.py shadow`: asks old and new for the same recipients and reports every difference.

Exit code: 0 without a difference, 1 with differences, 2 where one side could not be asked.
"""

import sys
from argparse import RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from gateway.routing.facts import LookupFailed
from tenants.models import Source
from tenants.moving_in.keeping import inventory_of
from tenants.moving_in.live import LivePostfix
from tenants.moving_in.postfix import OldSystem, OldSystemFailed, StoredRules
from tenants.moving_in.recipients import controls, counted, named_by, parse_lines
from tenants.moving_in.shadow import MEANING, Difference, Kind, compare_all

EXAMPLES = """
examples:
  manage.py shadow --source 3                      every address that the source names, and controls
  manage.py shadow --source 3 --recipients /var/log/mail.log
  manage.py shadow --live --recipients mail.log    the running Postfix's own maps, through postmap
  manage.py shadow --live=/etc/postfix-old --recipients addresses.txt

A file of recipients is a list (one address a line) or a log of Postfix; - reads standard input.
"""
TROUBLE = 2


class Command(BaseCommand):
    help = "Ask the old mail system and this one for the same recipients; report differences."
    requires_system_checks: list[str] = []

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            *args, **kwargs, epilog=EXAMPLES, formatter_class=RawDescriptionHelpFormatter
        )

    def add_arguments(self, parser: CommandParser) -> None:
        old = parser.add_mutually_exclusive_group(required=True)
        old.add_argument("--source", type=int, help="number of a source that was read before")
        old.add_argument("--live", nargs="?", const="", metavar="DIRECTORY", help="ask Postfix")
        parser.add_argument("--recipients", help="a list of addresses, or a log of Postfix")

    def handle(self, *_arguments: object, **options: Any) -> None:
        try:
            system, recipients = self._prepare(options)
            found = self._compare(system, recipients)
        except (OldSystemFailed, LookupFailed, OSError) as error:
            raise CommandError(str(error), returncode=TROUBLE) from error
        self._tell(found, len(recipients))
        if found:
            sys.exit(1)

    def _prepare(self, options: dict[str, Any]) -> tuple[OldSystem, Mapping[str, int]]:
        given = counted(_read(options["recipients"])) if options["recipients"] else None
        if options["source"] is None:
            if not given:
                told = "Say whom to ask about with --recipients: a list, or Postfix's log."
                raise CommandError(told, returncode=TROUBLE)
            return LivePostfix.of(options["live"]), given
        source = Source.objects.filter(pk=options["source"]).first()
        if source is None:
            known = ", ".join(f"{each.pk} {each}" for each in Source.objects.all()[:20]) or "none"
            told = f"There is no source {options['source']}; there are: {known}."
            raise CommandError(told, returncode=TROUBLE)
        inventory = inventory_of(source)
        every = given or counted([*sorted(named_by(inventory)), *controls(inventory)])
        return StoredRules(inventory, now=timezone.now()), every

    def _compare(self, system: OldSystem, recipients: Mapping[str, int]) -> list[Difference]:
        found: list[Difference] = []
        done = 0
        for count, differences in compare_all(recipients, system):
            done += count
            found += differences
            for each in differences:
                if each.kind is not Kind.UNVERIFIED:
                    self.stdout.write(_line(each))
            if sys.stderr.isatty():
                self.stderr.write(f"\r{done:,} of {len(recipients):,}", ending="")
        return found

    def _tell(self, found: list[Difference], asked: int) -> None:
        unverified = Counter(
            each.address.rpartition("@")[2] for each in found if each.kind is Kind.UNVERIFIED
        )
        for domain, number in unverified.most_common():
            self.stdout.write(
                f"{domain}: not verified here yet, {number:,} of its recipients were not compared"
            )
        if not found:
            self.stdout.write(f"No difference: {asked:,} recipients are treated alike.")
            return
        self.stdout.write(f"{len(found):,} of {asked:,} recipients are treated differently:")
        for kind, number in Counter(each.kind for each in found).most_common():
            self.stdout.write(f"  {number:,} {kind}: {MEANING[kind]}")


def _line(difference: Difference) -> str:
    return (
        f"{difference.address}: {difference.kind}\n"
        f"    there: {difference.old}\n    here:  {difference.new}"
    )


def _read(path: str) -> Iterator[str]:
    if path == "-":
        yield from parse_lines(sys.stdin)
        return
    with Path(path).open(encoding="utf-8", errors="replace") as lines:
        yield from parse_lines(lines)
