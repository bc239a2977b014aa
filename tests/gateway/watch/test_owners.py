"""A domain's owners are mailed before it is degraded, once, and the domain's page says so."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest
from django.test import Client

from gateway.watch import owners, sending
from gateway.watch.models import Notice
from tenants import services
from tenants.models import Domain, Forewarning
from tests import world as make
from tests.gateway.sink import Sink, free_port, running
from tests.pages import url_of
from tests.staff import client_of, make_staff
from tests.tenants.memory_resolver import MemoryResolver
from tests.world import ACTOR, World

pytestmark = pytest.mark.usefixtures("db", "socket_enabled")
START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def world() -> World:
    return make.make_world()


def lose_records(domain: Domain, *, hours: int = 2) -> Domain:
    """Check a domain of which nothing is published, every hour."""
    for passed in range(hours + 1):
        now = START + passed * HOUR
        domain = services.check_domain(domain, actor=ACTOR, resolver=MemoryResolver(), now=now)
    return domain


def tell(now: datetime) -> int:
    owners.queue(now)
    return sending.send_due(lambda: now)


def test_each_owner_is_mailed_once_what_is_missing_and_by_when(world: World, smtp: Sink) -> None:
    make.make_membership(world.a, make.make_user("zoe"), "owner")
    lose_records(world.domain)
    assert tell(START + 2 * HOUR) == 4  # two records, two owners
    lose_records(world.domain, hours=3)
    assert tell(START + 3 * HOUR) == 0

    recipients = {address for each in smtp.received for address in each.recipients}
    assert recipients == {"ann@users.example", "zoe@users.example"}
    mails = [message_from_bytes(each.octets) for each in smtp.received]
    [mail, *_] = [each for each in mails if " MX " in str(each["Subject"])]
    assert mail["Subject"] == "a.example: publish the MX record by 2026-06-04"
    text = mail.get_payload()
    assert "since 2026-06-01 00:00 UTC" in text
    assert "a.example MX 10 localhost." in text
    assert "publish it by 2026-06-04 00:00 UTC" in text
    assert set(Forewarning.objects.values_list("told_at", flat=True)) == {START + 2 * HOUR}


def test_an_owner_who_could_not_be_mailed_is_tried_again(world: World, settings: Any) -> None:
    settings.PANEL_MAIL_URL = f"smtp://127.0.0.1:{free_port()}"
    lose_records(world.domain)
    assert tell(START + 2 * HOUR) == 0
    assert not Forewarning.objects.exclude(told_at=None).exists()
    with running(Sink()) as sink:
        settings.PANEL_MAIL_URL = f"smtp://127.0.0.1:{sink.port}"
        assert tell(START + 3 * HOUR) == 2
    assert Notice.objects.count() == 2


def test_the_domain_s_page_and_history_show_the_notice(world: World, smtp: Sink) -> None:
    client = client_of(make_staff())
    lose_records(world.domain)
    page = page_of(client, world.domain)
    assert "1 owner to be told; the domain is not degraded before." in page
    tell(START + 2 * HOUR)

    page = page_of(client, world.domain)
    assert "owners were told at 2026-06-01 02:00 UTC." in page
    assert "to be published by 2026-06-04 00:00 UTC" in page
    history = client.get(url_of(Domain, "history", world.domain.pk)).content.decode()
    assert "notice to owners" in history
    assert "told by mail" in history


def test_notices_cannot_be_taken_back(world: World, smtp: Sink) -> None:
    client = client_of(make_staff())
    lose_records(world.domain)
    event = Forewarning.pgh_event_model.objects.first()  # type: ignore[attr-defined]
    url = f"{url_of(Domain, 'revert', world.domain.pk)}?edit={event.pgh_context_id}"
    client.post(url)
    assert Forewarning.objects.count() == 2
    offered = client.get(url_of(Domain, "history", world.domain.pk)).content.decode()
    assert str(event.pgh_context_id) not in offered
    assert offered.count("Take it back") == 1  # that the domain was made


def page_of(client: Client, domain: Domain) -> str:
    return client.get(domain.get_absolute_url()).content.decode()
