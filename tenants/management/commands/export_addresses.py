"""`manage.py export_addresses`: one tenant's rows as a file that import_addresses reads."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.changes import Actor
from tenants.imports.exporting import OF_TENANT, export, formats_for, rows_of_tenant
from tenants.imports.reading import Format
from tenants.imports.rows import Kind
from tenants.models import Tenant

ADDRESSES = (Kind.ALIAS, Kind.ROLE)


class Command(BaseCommand):
    help = "Print next hops, mailboxes, domains and addresses of a tenant; a map of its addresses."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="its external id")
        names = [each.value for each in formats_for(ADDRESSES)]
        parser.add_argument("--format", choices=names, default=Format.CSV.value)

    def handle(self, *_arguments: object, **options: Any) -> None:
        tenant = Tenant.objects.filter(external_id=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant with the external id {options['tenant']!r}.")
        written = Format(options["format"])
        kinds = OF_TENANT if written in formats_for(OF_TENANT) else ADDRESSES
        actor = Actor.system("export_addresses")
        rows = (row for row in rows_of_tenant(tenant, actor) if row.kind in kinds)
        what = f"everything of tenant {tenant.external_id}"
        pieces = export(
            rows, kinds, written, what=what, actor=actor, has_tenant=False, tenant_id=tenant.pk
        )
        for piece in pieces:
            self.stdout.write(piece, ending="")
