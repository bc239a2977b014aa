"""Names that loader, peers and load generator agree on without asking each other."""

from itertools import islice
from random import Random

import pytest

from benchmarks.population import MAILBOXES_PER_TENANT, Population, tenant_of


@pytest.mark.parametrize(
    "people", [Population(1_000), Population(1_000, 10), Population(99, 5_000)]
)
def test_addresses_are_unique_and_each_stays_with_its_tenant(people: Population) -> None:
    numbers = range(people.aliases)
    assert len({people.address(number) for number in numbers}) == people.aliases
    for number in numbers:
        tenant = tenant_of(people.domain_of(number))
        assert people.mailbox_of(number) // MAILBOXES_PER_TENANT == tenant


def test_half_of_those_drawn_are_strangers_in_hosted_domains() -> None:
    people = Population(50, 5)
    known = {people.address(number) for number in range(50)}
    drawn = list(islice(people.draw(Random(1), unknown_share=0.5), 2_000))
    assert 0.45 < sum(each.is_known for each in drawn) / len(drawn) < 0.55
    assert all((each.address in known) is each.is_known for each in drawn)
    domains = {address.partition("@")[2] for address in known}
    assert {each.address.partition("@")[2] for each in drawn} == domains
