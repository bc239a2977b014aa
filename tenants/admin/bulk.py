"""Bulk actions of lists: the rows that were chosen, all of the filter too, become a job.

The job's page says exactly how many rows there are and what would happen to each before anything
is changed, whatever happens to the list meanwhile.
"""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action

from tenants import jobs, permissions, reverting
from tenants.admin.attribution import actor_of
from tenants.admin.deeds import DELETE, DELETE_FOR_GOOD, Deed
from tenants.models import Job


def bulk_action(deed: Deed, *, label: str = "key") -> Any:
    """The deed as an action of a list whose rows are named by the column `label`."""

    needed = "retarget" if deed.changes_targets else deed.verb  # of several, any one would do

    @action(description=f"{deed.title}…", permissions=[needed])
    def choose(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return _lead_on(page, request, deed, queryset, label=label)

    choose.__name__ = deed.name
    return choose


@action(description="Delete…", permissions=["delete"])
def delete_rows(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """The rows chosen go by a job, which is taken back where edits of such rows can be."""
    deed = DELETE if reverting.can_revert(page.model) else DELETE_FOR_GOOD
    return _lead_on(page, request, deed, queryset, label=page.row_label)


def _lead_on(
    page: Any, request: HttpRequest, deed: Deed, chosen: QuerySet[Any], *, label: str
) -> HttpResponse | None:
    """To the page of a job about these rows, unless there are none."""
    rows = page.model._default_manager.filter(pk__in=chosen.order_by().values("pk"))
    job = begin(request, deed, rows, label=label)
    if job.total == 0:
        jobs.cancel(job)
        messages.warning(request, "No row is chosen, so there is nothing to do.")
        return None
    return redirect(job.get_absolute_url())


def begin(request: HttpRequest, deed: Deed, rows: QuerySet[Any], *, label: str) -> Job:
    """A job about these rows; what needs no form is checked at once."""
    opts = rows.model._meta
    job = jobs.draft(
        deed.kind,
        title=f"{deed.title}{' …:' if deed.form else ''} {opts.verbose_name_plural}",
        actor=actor_of(request),
        permission=permissions.name_of(deed.verb, rows.model),
    )
    if jobs.list_rows(job, rows, label=label) and deed.form is None:
        jobs.check(job)
    return job
