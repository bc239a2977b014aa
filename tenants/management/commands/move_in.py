"""`manage.py move_in`: plan, show and take over what another product's dump or database holds."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import jobs
from tenants.changes import Actor
from tenants.jobs.shadowing import draft_plan
from tenants.management.here import finish
from tenants.models import Job, JobItem, NextHop, Source, Tenant
from tenants.moving_in.keeping import keep
from tenants.moving_in.reading import MAPS, UnreadableSource, open_maps, read_path, shown

EXAMPLES = """
examples:
  manage.py move_in postfixadmin postfix.sql.gz --tenant acme --next-hop "Mail store"
  manage.py move_in mailcow mysql://user:password@127.0.0.1/mailcow --tenant acme --next-hop store
  manage.py move_in maps virtual_alias_maps=/etc/postfix/virtual \\
      virtual_mailbox_domains=/etc/postfix/domains --tenant acme --next-hop store --apply

Without --apply nothing changes: the plan says what would.
"""


class Command(BaseCommand):
    help = "Move in from PostfixAdmin, mailcow, Modoboa or Postfix maps: plan first, then --apply."
    requires_migrations_checks = True

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            *args, **kwargs, epilog=EXAMPLES, formatter_class=RawDescriptionHelpFormatter
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("product", choices=Source.Product.values)
        parser.add_argument(
            "where", nargs="+", help="a dump, a database's URL, or parameter=file for each map"
        )
        parser.add_argument("--tenant", required=True, help="external id of who moves in")
        parser.add_argument("--next-hop", required=True, help="name of the mailboxes' server")
        parser.add_argument("--domain", action="append", default=[], help="this domain alone")
        parser.add_argument("--reason", default="moving in")
        parser.add_argument("--apply", action="store_true", help="take over what the plan allows")

    def handle(self, *_arguments: object, **options: Any) -> None:
        source = self._read(options)
        self.stdout.write(f"Read {source}: {_counted(source.counts)}.")
        actor = Actor.system("move_in")
        job = finish(jobs.check(draft_plan(source, actor=actor, reason=options["reason"])))
        self._tell(job, "would be", JobItem.objects.filter(job=job, forecast="refused"))
        if options["apply"]:
            job = finish(jobs.apply(job))
            self._tell(job, "are", JobItem.objects.filter(job=job, outcome="refused"))
            self.stdout.write(f"Compare old and new now: manage.py shadow --source {source.pk}")
        else:
            self.stdout.write("Nothing was changed. Take it over with --apply, or in the panel.")

    def _read(self, options: dict[str, Any]) -> Source:
        tenant = _one(Tenant.objects.filter(external_id=options["tenant"]), "tenant", options)
        hops = NextHop.objects.filter(name=options["next_hop"])
        own = hops.filter(tenant=tenant)
        hop = _one(own if own.exists() else hops.filter(tenant=None), "next_hop", options)
        product, where = options["product"], options["where"]
        try:
            if product == MAPS:
                inventory = open_maps(where, domains=options["domain"])
            else:
                inventory = read_path(product, where[0], domains=options["domain"])
            return keep(
                inventory,
                tenant=tenant,
                next_hop=hop,
                product=product,
                name=shown(where),
                domains=options["domain"],
                actor=Actor.system("move_in"),
            )
        except (UnreadableSource, ValidationError) as error:
            raise CommandError(" ".join(getattr(error, "messages", [str(error)]))) from error

    def _tell(self, job: Job, verb: str, refused: Any) -> None:
        self.stdout.write(
            f"{job.changed:,} rows {verb} new or changed, {job.unchanged:,} are so already, "
            f"{job.refused:,} {verb} refused:"
        )
        for item in refused.iterator():
            self.stdout.write(f"  {item.label}: {item.note}")


def _one(rows: Any, name: str, options: dict[str, Any]) -> Any:
    row = rows.first()
    if row is None:
        raise CommandError(f"There is no {name.replace('_', ' ')} “{options[name]}”: add it first.")
    return row


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items()) or "nothing"
