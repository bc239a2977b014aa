"""Edits that close a circle without touching a forward are refused with its path."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from tenants import changes, services
from tenants.models import Address, Alias, Domain, SubaddressRule, Tenant
from tests import world as make
from tests.world import ACTOR, World, to_forward, to_inbox

Action = SubaddressRule.Action
TOLD = "{}: with this, it would be a loop. Change one of these forwards first."


def forward(domain: Domain, name: str, to: str, **fields: Any) -> Alias:
    return make.make_alias(domain, name, to_forward(to), **fields)


def new_claim(tenant: Tenant) -> Domain:
    return make.make_domain(tenant, "new.example", state=Domain.State.PENDING)


def activate(domain: Domain) -> None:
    domain.state = Domain.State.ACTIVE
    make.save(domain)


def refused(edit: Any, *arguments: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        edit(*arguments)
    return error.value.message_dict


def test_a_claim_that_closes_a_loop_does_not_become_active(world: World) -> None:
    claim = new_claim(world.a)
    forward(world.domain, "x", "y@new.example")
    forward(claim, "y", "x@a.example")

    path = "y@new.example → x@a.example → y@new.example"
    assert refused(activate, claim) == {"state": [TOLD.format(path)]}
    assert Domain.objects.get(pk=claim.pk).state == Domain.State.PENDING


def test_a_loop_through_a_local_part_in_quotes_is_refused(world: World) -> None:
    claim = new_claim(world.a)
    forward(world.domain, '"jo hn"', "y@new.example")
    forward(world.domain, "x", '"jo hn"@a.example')
    forward(claim, "y", '"jo hn"@a.example')

    path = "y@new.example → jo hn@a.example → y@new.example"
    assert refused(activate, claim) == {"state": [TOLD.format(path)]}


def test_another_tenant_s_part_of_the_loop_is_not_told(world: World) -> None:
    claim = new_claim(world.a)
    make.make_alias(
        world.other_domain, "x", to_forward("y@new.example"), accepts_forwards_from=["new.example"]
    )
    forward(claim, "y", "x@b.example")

    path = "y@new.example → … → y@new.example"
    assert refused(activate, claim) == {"state": [TOLD.format(path)]}


def test_a_dns_check_says_why_a_claim_stays_pending(world: World) -> None:
    claim = new_claim(world.a)
    forward(world.domain, "x", "y@new.example")
    forward(claim, "y", "x@a.example")

    told = services._move(claim, Domain.State.ACTIVE, "DNS", ACTOR)

    assert told.startswith("y@new.example → x@a.example → y@new.example")
    assert claim.state == Domain.State.PENDING


def test_a_claim_whose_forwards_end_becomes_active(world: World) -> None:
    claim = new_claim(world.a)
    make.make_alias(world.domain, "x")
    forward(claim, "y", "x@a.example")

    activate(claim)

    assert claim.is_receiving


def test_delimiters_that_close_a_loop_are_refused(world: World) -> None:
    world.domain.delimiters = "-"
    make.save(world.domain)
    make.make_alias(world.domain, "x+y")
    forward(world.domain, "x", "x+y-z@a.example")
    world.domain.delimiters = "+"

    path = "x@a.example → x+y-z@a.example → x+y-z@a.example"
    assert refused(make.save, world.domain) == {"delimiters": [TOLD.format(path)]}


@pytest.fixture
def rule(world: World) -> SubaddressRule:
    """What keeps mail for x+v from x, which forwards to y, which forwards to x+v."""
    x = make.make_alias(world.domain, "x")
    rule = make.make_rule(x, "v", Action.RETARGET, to_inbox())
    forward(world.domain, "y", "x+v@a.example")
    make.save(x.targets.model(address=x, kind="forward", forward_to="y@a.example"))
    return rule


ROUND = TOLD.format("x@a.example → y@a.example → x+v@a.example → y@a.example")


def test_a_rule_that_keeps_mail_from_going_round_stays(rule: SubaddressRule) -> None:
    rule.action = Action.DELIVER

    assert refused(make.save, rule) == {"action": [ROUND]}
    assert refused(lambda: changes.delete(rule, actor=ACTOR)) == {"__all__": [ROUND]}
    assert SubaddressRule.objects.get().action == Action.RETARGET


def test_an_address_that_keeps_mail_from_going_round_stays(world: World) -> None:
    own = make.make_alias(world.domain, "x+v")
    forward(world.domain, "y", "x+v@a.example")
    forward(world.domain, "x", "y@a.example")

    assert refused(lambda: changes.delete(own, actor=ACTOR)) == {"__all__": [ROUND]}
    assert Address.objects.filter(key=own.key).exists()


def test_a_loop_through_what_is_switched_off_is_one(world: World) -> None:
    """Whoever switches it on again must not close it."""
    end = make.make_alias(world.domain, "c")
    middle = forward(world.domain, "b", "c@a.example")
    make.make_alias(world.domain, "a", to_forward("b@a.example"), to_inbox())
    middle.enabled = False
    make.save(middle)
    [target] = end.targets.all()
    target.kind, target.forward_to = "forward", "a@a.example"

    path = "c@a.example → a@a.example → b@a.example → c@a.example"
    assert refused(make.save, target) == {"forward_to": [f"{path}: this is a loop."]}
