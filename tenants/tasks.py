"""What workers and beat do for the control plane: expiry, DNS, and jobs that operators asked for.

A task holds nothing that is not in a row: what a lost message or a killed worker left undone is
still due when the schedule strikes again.
"""

import threading
from datetime import timedelta

from celery import shared_task, signals
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from tenants import checking, jobs, lock, services
from tenants.changes import Actor
from tenants.jobs.erasing import forget_addresses
from tenants.jobs.reading import forget_files
from tenants.models import Domain

_is_ending = threading.Event()


@shared_task(ignore_result=True)
def expire_addresses() -> None:
    """Switch off the addresses whose time is over."""
    actor = Actor.system("expire addresses", surface="task")
    services.expire_addresses(actor=actor, now=timezone.now())


@shared_task(ignore_result=True)
def reconcile_dns() -> None:
    """Ring for every domain that is due: one job each, so that a slow zone delays no other."""
    for domain_id in Domain.objects.due_for_check(timezone.now()).values_list("pk", flat=True):
        check_domain_dns.delay(domain_id)


@shared_task(ignore_result=True)
def check_domain_dns(domain_id: int) -> None:
    """Check one domain, unless another worker is at it or has just been."""
    with lock.alone(lock.DNS_CHECK, domain_id) as is_alone:
        now = timezone.now()
        domain = Domain.objects.due_for_check(now).filter(pk=domain_id).first()
        if not is_alone or domain is None:
            return
        actor = Actor.system("reconcile DNS", surface="task")
        resolver = services.configured_resolver()
        policies = services.configured_policies()
        checking.check(domain, actor=actor, resolver=resolver, policies=policies, now=now)


@shared_task(ignore_result=True)
def run_jobs() -> None:
    """Work off the jobs that are due; when the worker ends, another one goes on with them."""
    jobs.work_off(lambda: not _is_ending.is_set())


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


def _end(**_signal: object) -> None:
    _is_ending.set()


signals.worker_shutting_down.connect(_end, weak=False)
