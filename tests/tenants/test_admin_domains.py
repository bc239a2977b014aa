"""A domain in the admin: claimed, shown with its records, checked at once, released."""

from typing import Any

import dns.rdatatype
import dns.zone
import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from tenants import services
from tenants.dns import OPTIONAL_KINDS
from tenants.models import (
    Domain,
    DomainCheck,
)
from tests import world as make
from tests.pages import data_of, form_of, typed, url_of
from tests.tenants.events import last_context
from tests.tenants.test_dkim_keys import RSA
from tests.world import World


def test_adding_a_domain_is_a_claim_and_leads_to_its_records(client: Client, world: World) -> None:
    page = client.get(url_of(Domain, "add"))
    values = typed({"tenant": world.a, "name": "Bücher.example", "environment": "staging"})
    data = data_of(page) | values | {"change_reason": "ticket 7"}
    shown = [name for fieldset in page.context_data["adminform"] for name in fieldset.fields]
    assert shown == ["tenant", "name", "environment", "may_look_alike", "change_reason"]
    page = client.post(url_of(Domain, "add"), data, follow=True)
    domain = Domain.objects.get(name="xn--bcher-kva.example")
    assert page.redirect_chain == [(domain.get_absolute_url(), 302)]
    assert (domain.state, domain.environment) == (Domain.State.PENDING, "staging")
    assert last_context(domain)["reason"] == "ticket 7"
    client.post(url_of(Domain, "add"), data | {"name": "other.example", "change_reason": ""})
    assert last_context(domain)["reason"] == "claimed"


def test_a_claim_that_loses_a_race_is_told_at_its_field(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.exceptions import ValidationError

    def refuse(*_: Any, **__: Any) -> None:
        raise ValidationError({"name": "Somebody was quicker."})

    monkeypatch.setattr(services, "claim_domain", refuse)
    data = data_of(client.get(url_of(Domain, "add")))
    response = client.post(url_of(Domain, "add"), data | typed({"tenant": world.a, "name": "n.de"}))
    assert form_of(response).errors == {"name": ["Somebody was quicker."]}


def test_a_domain_page_offers_its_records_as_lines_of_a_zone_file(
    client: Client, world: World, settings: Any
) -> None:
    settings.DKIM_PUBLIC_KEYS = f"s1:{RSA}"
    page = client.get(world.domain.get_absolute_url())
    zone = dns.zone.from_text(
        f"$TTL 3600\n{page.context_data['zone_file']}\n",
        origin=world.domain.name,
        relativize=False,
        check_origin=False,
    )
    records = {
        f"{name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(rdata.rdtype)}": (
            b"".join(rdata.strings).decode() if rdata.rdtype == dns.rdatatype.TXT else str(rdata)
        )
        for name, _, rdata in zone.iterate_rdatas()
    }
    expected = [
        each for each in services.expected_of(world.domain) if each.kind not in OPTIONAL_KINDS
    ]
    assert records == {f"{each.name} {each.rdtype}": each.value for each in expected}
    assert f'data-copy="{escape(page.context_data["zone_file"])}"' in page.content.decode()


def test_a_domain_page_shows_what_to_publish(client: Client, world: World) -> None:
    page = client.get(world.domain.get_absolute_url()).content.decode()
    assert f'data-copy="mailrouting-verification={world.domain.token}"' in page
    assert "_mailrouting.a.example" in page
    assert page.count("not checked yet") == len(services.expected_of(world.domain))


class SilentResolver:
    """No name server can be found out."""

    def begin(self) -> "SilentResolver":
        return self

    def delegation(self, name: str) -> Any:
        from tenants.dns import LookupFailedError

        raise LookupFailedError("timeout")

    def query(self, *_: Any) -> Any:
        raise AssertionError("nobody to ask")


def test_check_now_shows_its_result_at_once(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "configured_resolver", lambda **_: SilentResolver())
    url = f"/admin/tenants/domain/{world.domain.pk}/check-now/"
    page = client.post(url, follow=True).content.decode()
    assert "Checked: a.example stays active" in page
    assert "unknown" in page
    assert "cannot be found out: timeout" in page
    assert DomainCheck.objects.filter(domain=world.domain).count() >= 4
    assert client.get(url).status_code == 302


def test_a_domain_is_released_after_a_page_that_says_what_that_means(
    client: Client, world: World
) -> None:
    make.make_alias(world.domain, "x")
    url = f"/admin/tenants/domain/{world.domain.pk}/release/"
    assert "1 address in use now" in client.get(url).content.decode()
    world.domain.refresh_from_db()
    assert world.domain.state == Domain.State.ACTIVE
    client.post(url, {"change_reason": "moved away"})
    world.domain.refresh_from_db()
    assert world.domain.state == Domain.State.RELEASED
    assert last_context(world.domain)["reason"] == "moved away"


@pytest.mark.parametrize("verb", ["get", "post"])
def test_a_verified_domain_is_not_deleted_and_its_page_says_what_to_do(
    client: Client, world: World, verb: str
) -> None:
    url = f"/admin/tenants/domain/{world.domain.pk}/delete/"
    page = getattr(client, verb)(url, {"post": "yes"}, follow=True)
    assert "a.example has been verified: release it first." in page.content.decode()
    assert page.request["PATH_INFO"] == world.domain.get_absolute_url()
    assert Domain.objects.filter(pk=world.domain.pk).exists()


def test_evidence_from_dns_is_shown_as_text(client: Client, world: World) -> None:
    record = services.expected_of(world.domain)[0]
    evil = "<script>alert(1)</script>"
    make.save(
        DomainCheck(
            domain=world.domain,
            kind=record.kind,
            record_name=record.name,
            record_type="TXT",
            state=DomainCheck.State.WRONG,
            found=[evil],
            evidence=[{"server": evil, "address": evil, "outcome": "answered", "values": [evil]}],
            advice=evil,
            checked_at=timezone.now(),
        )
    )
    page = client.get(world.domain.get_absolute_url()).content.decode()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
