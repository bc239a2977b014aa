"""Claims that people would take for another tenant's domain are refused, unless staff let them."""

from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from tenants import services
from tenants.lookalikes import mixed_scripts, skeleton
from tenants.models import Domain
from tests import world as make
from tests.tenants.events import last_context
from tests.tenants.test_changes import events_of
from tests.world import ACTOR, World


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        ("paypal", "p\u0430ypal", True),  # Cyrillic a
        ("paypal", "paypa1", True),
        ("microsoft", "rnicrosoft", True),
        ("scope", "\u0455\u0441\u043e\u0440\u0435", True),  # Cyrillic throughout
        ("bücher", "bu\u0308cher", True),  # NFC and NFD
        ("paypal", "paypals", False),
        ("bücher", "bucher", False),
        ("日本", "中国", False),
    ],
)
def test_names_are_compared_by_their_looks(one, other, is_alike):
    assert (skeleton(one) == skeleton(other)) is is_alike


@pytest.mark.parametrize(
    ("label", "scripts"),
    [
        ("paypal-24", []),
        ("почта", []),
        ("p\u0430ypal", ["Cyrillic", "Latin"]),
        ("αlpha", ["Greek", "Latin"]),
        ("日本ひらカタtokyo", []),  # UTS #39 §5.2
        ("日本почта", ["Cyrillic", "Han"]),
        ("한국kr", []),
    ],
)
def test_scripts_of_a_label_have_to_go_together(label, scripts):
    assert mixed_scripts(label) == scripts


def claim(tenant, name, **fields):
    return services.claim_domain(tenant, name, actor=ACTOR, **fields)


def refused(*arguments, **fields):
    with pytest.raises(ValidationError) as error:
        claim(*arguments, **fields)
    [[sentence]] = error.value.message_dict.values()
    return sentence


LOOKALIKE = "\u0455\u0441\u043e\u0440\u0435.example"
TOLD = (
    "{} looks like scope.example, which another tenant has verified: people could not tell whose "
    "mail is whose."
)


@pytest.fixture
def scope(world: World) -> Domain:
    return make.make_domain(world.a, "scope.example")


@pytest.mark.parametrize("name", [LOOKALIKE, f"mail.{LOOKALIKE}"])
def test_a_claim_that_looks_like_another_tenant_s_domain_is_refused(world, scope, name):
    assert refused(world.b, name) == TOLD.format(name)


def test_a_claim_of_mixed_scripts_is_refused(world):
    assert refused(world.b, "p\u0430ypal.example") == (
        "“p\u0430ypal” mixes letters of Cyrillic and Latin, by which it may pass for another name: "
        "write it in one script."
    )


def test_a_tenant_may_have_what_looks_like_its_own(world, scope):
    assert claim(world.a, LOOKALIKE).pk


def test_a_real_subdomain_does_not_look_like_it(world, scope):
    assert claim(world.b, "mail.scope.example").pk


def test_what_is_only_claimed_keeps_nobody_away(world):
    claim(world.a, "scope.example")

    assert claim(world.b, LOOKALIKE).pk


def test_of_two_claims_that_look_alike_the_first_that_is_proved_stands(world):
    first, second = claim(world.a, "scope.example"), claim(world.b, LOOKALIKE)
    services._move(first, Domain.State.ACTIVE, "DNS", ACTOR)

    assert services._move(second, Domain.State.ACTIVE, "DNS", ACTOR) == TOLD.format(LOOKALIKE)


def test_staff_let_a_name_pass_for_a_reason(world: World, scope: Domain, client: Client):
    add = reverse("admin:tenants_domain_add")
    data = {"tenant": world.b.pk, "name": LOOKALIKE, "environment": "production"}

    plain = client.post(add, data).content.decode()
    unexplained = client.post(add, data | {"may_look_alike": "on"}).content.decode()
    client.post(add, data | {"may_look_alike": "on", "change_reason": "the same company"})

    assert "which another tenant has verified" in plain
    assert "Say why this name may look like another" in unexplained
    domain = Domain.objects.get(tenant=world.b, u_label=LOOKALIKE)
    assert last_context(domain)["reason"] == "the same company"
    services._move(domain, Domain.State.ACTIVE, "DNS", ACTOR)
    assert domain.is_receiving


def test_the_looks_of_domains_that_are_there_are_filled_in_without_history(scope):
    migration = import_module("tenants.migrations.0022_domains_by_look")
    Domain.objects.update(skeleton="")
    told = len(events_of(scope))

    migration.fill(apps, None)

    scope.refresh_from_db()
    assert scope.skeleton == skeleton("scope.example")
    assert len(events_of(scope)) == told
