"""Scheduled jobs of the control plane: expiry and DNS.

A job holds nothing that is not in a row: what a lost message or a killed worker left undone is
still due when the schedule strikes again.
"""

from celery import shared_task
from django.utils import timezone

from tenants import lock, services
from tenants.changes import Actor
from tenants.models import Domain


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
        services.check_domain(domain, actor=actor, resolver=resolver, now=now)
