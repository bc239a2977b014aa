"""The fixture: as many rows as asked for, right by the models' own rules, and never by accident."""

import io

import pytest
from django.core.management import CommandError, call_command

from gateway.models import Delivery, Message, RefusalCount, RoutingRecord
from mailrouting.fixture.population import ROLES
from mailrouting.progress import Bar
from tenants import history
from tenants.models import Alias, Domain, RoleAddress, SendAsIdentity, Target, Tenant
from tests import world as make

ALIASES, RECORDS = 1_000, 2_000


@pytest.fixture
def made(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # VACUUM has no place in a test's transaction.
    monkeypatch.setattr("mailrouting.fixture.build.tidy", lambda: None)


def build() -> None:
    call_command("make_fixture", aliases=ALIASES, records=RECORDS, stdout=io.StringIO())


@pytest.mark.usefixtures("made")
def test_a_fixture_has_the_rows_that_were_asked_for() -> None:
    build()
    assert Alias.objects.count() == ALIASES
    assert RoutingRecord.objects.count() == RECORDS
    assert RoleAddress.objects.count() == Domain.objects.count() * len(ROLES)
    assert Delivery.objects.count() == RoutingRecord.objects.filter(accepted=True).count() == 1_200
    assert Message.objects.count() == 600
    assert RefusalCount.objects.count() == 100
    assert set(Delivery.objects.values_list("state", flat=True)) > {"delivered", "failed"}


@pytest.mark.usefixtures("made")
def test_its_rows_keep_the_models_rules() -> None:
    build()
    samples = (Tenant, Domain, Target, SendAsIdentity, RoleAddress, Alias)
    for model in samples:
        for row in model.objects.order_by("?")[:10]:
            row.full_clean(exclude=["owner", "name", "expires_at"])
    record = RoutingRecord.objects.filter(accepted=True).first()
    assert record is not None
    assert (record.address.key, record.domain.tenant) == (record.key, record.tenant)
    assert record.message.queue_id == record.queue_id
    delivery = record.deliveries.get()
    assert (delivery.message, delivery.tenant) == (record.message, record.tenant)


@pytest.mark.usefixtures("made")
def test_its_history_says_who_made_it() -> None:
    build()
    alias = Alias.objects.first()
    assert alias is not None
    [edit] = history.read(history.sources_of(Alias, alias.pk))[-1:]
    assert (edit.actor, edit.surface) == ("make_fixture", "command")


@pytest.mark.usefixtures("made")
def test_rows_made_afterwards_get_numbers_of_their_own() -> None:
    build()
    tenant = make.make_tenant("Afterwards")
    assert make.make_alias(make.make_domain(tenant), "x").pk > ALIASES


@pytest.mark.usefixtures("made")
def test_real_data_are_left_alone_unless_told() -> None:
    make.make_tenant("A customer")
    with pytest.raises(CommandError, match="tenants of its own"):
        build()
    assert not Alias.objects.exists()
    call_command("make_fixture", "--beside-real-data", aliases=100, records=10)
    assert Alias.objects.count() == 100


@pytest.mark.usefixtures("made")
def test_there_is_one_fixture() -> None:
    call_command("make_fixture", aliases=100, records=10)
    with pytest.raises(CommandError, match="already"):
        build()


def test_the_bar_says_how_far_it_is_and_how_long_it_takes() -> None:
    now = [0.0]
    bar = Bar(1_000, out=io.StringIO(), clock=lambda: now[0])
    now[0] = 30.0
    bar.advance(250, "aliases")
    assert bar.line("aliases") == (
        "[#######.......................]  25%  250 of 1,000, 30 s, 1 min 30 s left  aliases"
    )
    bar.advance(750, "targets")
    assert bar.line("targets").endswith("100%  1,000 of 1,000, 30 s  targets")
