"""Jobs and exports that are about a tenant. An export says so itself; of a job its rows tell.

Jobs are made by people, so the newest are few. Of each the first rows tell whose it is: what is
chosen in a list filtered by a tenant is that tenant's from the first row on.
"""

from typing import Any

from django.db.models import Exists, OuterRef, Q

from tenants.models import (
    Address,
    Alias,
    Domain,
    Export,
    Job,
    JobItem,
    Mailbox,
    RoleAddress,
    Tenant,
)

NEWEST_JOBS = 50
FIRST_ROWS = 100
SHOWN = 5
OWNED: tuple[tuple[tuple[type[Any], ...], str], ...] = (
    ((Address, Alias, RoleAddress), "domain__tenant"),
    ((Domain,), "tenant"),
    ((Mailbox,), "tenant"),
)


def jobs_about(tenant: Tenant) -> list[Job]:
    """The newest jobs about rows of the tenant, at most SHOWN of the NEWEST_JOBS; one query."""
    newest = Job.objects.order_by("-pk").values("pk")[:NEWEST_JOBS]
    named = Q(parameters__tenant=tenant.external_id) | Q(parameters__tenant=tenant.pk)
    about = named | Q(Exists(_first_rows_of(tenant)))
    return list(Job.objects.filter(about, pk__in=newest).order_by("-pk")[:SHOWN])


def _first_rows_of(tenant: Tenant) -> Any:
    own = JobItem.objects.filter(job=OuterRef(OuterRef("pk")))
    first = own.order_by("pk").values("pk")[:FIRST_ROWS]
    owned = Q()
    for models, path in OWNED:
        rows = models[0]._base_manager.filter(**{path: tenant}, pk=OuterRef("row_pk"))
        owned |= Q(model__in=[model._meta.label_lower for model in models]) & Q(Exists(rows))
    return JobItem.objects.filter(owned, job=OuterRef("pk"), pk__in=first)


def exports_about(tenant: Tenant) -> list[Export]:
    """The newest exports of the tenant's rows alone, at most SHOWN; one query."""
    return list(Export.objects.filter(tenant=tenant).order_by("-pk")[:SHOWN])
