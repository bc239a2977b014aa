"""What workers and beat do for the control plane: expiry, DNS, and jobs that operators asked for.

A task holds nothing that is not in a row: what a lost message or a killed worker left undone is
still due when the schedule strikes again.
"""

import threading
from datetime import timedelta

from celery import shared_task, signals
from django.conf import settings
from django.core.management import call_command

from gateway import headroom
from gateway.headroom import at_most
from tenants import checking, jobs, services
from tenants.changes import Actor
from tenants.clock import database_now
from tenants.jobs.erasing import forget_addresses
from tenants.jobs.reading import forget_files
from tenants.models import Domain

CHECKERS = 8
"""Tasks that check domains, in all workers; a process takes up no more than its share."""

EXPIRES_SECONDS = 300

_is_ending = threading.Event()


@shared_task(ignore_result=True)
def expire_addresses() -> None:
    """Switch off the addresses whose time is over."""
    actor = Actor.system("expire addresses", surface="task")
    services.expire_addresses(actor=actor, now=database_now())


@shared_task(ignore_result=True)
def reconcile_dns() -> None:
    """Ring for those who check what is due: a few, however many domains there are."""
    for _ in Domain.objects.due_for_check(database_now()).values_list("pk")[:CHECKERS]:
        check_due_domains.apply_async(expires=EXPIRES_SECONDS)


@shared_task(ignore_result=True)
@at_most(headroom.DNS_CHECKS)
def check_due_domains() -> None:
    """Check one domain after the other, several tasks side by side: a slow zone delays few."""
    actor = Actor.system("reconcile DNS", surface="task")
    checking.check_due(database_now, actor=actor, is_wanted=_is_wanted)


@shared_task(ignore_result=True)
@at_most(headroom.JOBS)
def run_jobs() -> None:
    """Work off the jobs that are due; when the worker ends, another one goes on with them."""
    jobs.work_off(_is_wanted)


@shared_task(ignore_result=True)
def sweep_jobs() -> None:
    """Ring for jobs that are due, or whose worker ended, though no bell was heard."""
    if jobs.is_any_due():
        jobs.ring()


@shared_task(ignore_result=True)
def forget_jobs() -> None:
    """Delete jobs that ended too long ago to be looked up, and drafts that nobody started.

    Of persons whose erasure was not done, nothing stays, nor of files that were not read.
    """
    forget_addresses()
    forget_files()
    jobs.forget(timedelta(days=settings.RECORD_RETENTION_DAYS))


@shared_task(ignore_result=True)
def forget_sessions() -> None:
    """Delete the sessions of staff that are over."""
    call_command("clearsessions")


def _is_wanted() -> bool:
    return not _is_ending.is_set()


def _end(**_signal: object) -> None:
    _is_ending.set()


signals.worker_shutting_down.connect(_end, weak=False)
