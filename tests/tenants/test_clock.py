"""The database's clock decides, however far off that of the process is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants import services, tasks
from tenants.clock import database_now
from tenants.models import Address, Alias, Tenant
from tests.world import ACTOR, make_alias, make_tenant, save

HOUR = timedelta(hours=1)


@pytest.fixture(params=[-5, 5], ids=["late", "early"])
def odd_clock(request, monkeypatch):
    """A process whose clock is hours off."""
    true = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: true() + request.param * HOUR)


def test_expiry_strikes_by_the_database_s_clock(world, odd_clock):
    now = database_now()
    over = make_alias(world.domain, "over", expires_at=now - HOUR)
    make_alias(world.domain, "alive", expires_at=now + HOUR)

    tasks.expire_addresses()

    over.refresh_from_db()
    assert list(Alias.objects.filter(enabled=False)) == [over]
    assert timedelta(0) <= over.expired_at - now < HOUR
    assert [alias.local_part for alias in Alias.objects.alive()] == ["alive"]


def test_a_later_expiry_revives_by_the_database_s_clock(world, odd_clock):
    alias = make_alias(world.domain, "x", expires_at=database_now() - HOUR)
    tasks.expire_addresses()
    alias.refresh_from_db()
    alias.expires_at = database_now() + HOUR

    save(alias)

    assert Address.objects.get().enabled


@pytest.mark.parametrize("is_new", [False, True], ids=["suspended", "made suspended"])
def test_the_grace_of_a_suspended_tenant_begins_by_the_database_s_clock(world, odd_clock, is_new):
    began = database_now()

    if is_new:
        tenant = make_tenant("New", state=Tenant.State.SUSPENDED)
    else:
        tenant = services.suspend_tenant(world.a, actor=ACTOR, reason="unpaid")

    assert timedelta(0) <= tenant.state_since - began < HOUR


def test_a_domain_s_states_are_stamped_by_the_database_s_clock(world, odd_clock):
    began = database_now()

    domain = services.release_domain(world.domain, actor=ACTOR)

    assert timedelta(0) <= domain.state_since - began < HOUR
