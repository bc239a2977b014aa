"""Names of every domain, alias and mailbox of a run, computed from a number alone.

Loader, peers and load generator share nothing else, so none of them has to read
the others' data. Tenants and mailboxes are as many in every population.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

TENANTS = 20
MAILBOXES_PER_TENANT = 50
MAILBOXES = TENANTS * MAILBOXES_PER_TENANT
DOMAINS = 100
SENDER = "sender@elsewhere.bench.example"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address to ask a server about, and whether it exists there."""

    address: str
    is_known: bool


@dataclass(frozen=True, slots=True)
class Population:
    """How many rows a database holds; `waiting` deliveries are due at a hop that is dead."""

    aliases: int
    domains: int = DOMAINS
    waiting: int = 0

    def __str__(self) -> str:
        text = f"{self.aliases:,} aliases in {self.domains:,} domains"
        return f"{text}, {self.waiting:,} deliveries waiting" if self.waiting else text

    def domain_of(self, alias: int) -> int:
        """Number of the domain that holds the alias."""
        return alias % self.domains

    def mailbox_of(self, alias: int) -> int:
        """Number of the mailbox to which the alias delivers; one of the same tenant."""
        tenant = tenant_of(self.domain_of(alias))
        return tenant * MAILBOXES_PER_TENANT + alias // self.domains % MAILBOXES_PER_TENANT

    def address(self, alias: int) -> str:
        return f"{local_part(alias)}@{domain_name(self.domain_of(alias))}"

    def draw(self, random: Random, *, unknown_share: float) -> Iterator[Recipient]:
        """Endless recipients, uniform over the aliases; unknown ones lie in hosted domains."""
        while True:
            address = self.address(random.randrange(self.aliases))
            if random.random() < unknown_share:
                yield Recipient(f"stranger.{address}", is_known=False)
            else:
                yield Recipient(address, is_known=True)


def tenant_of(domain: int) -> int:
    """Number of the tenant that owns the domain."""
    return domain % TENANTS


def domain_name(domain: int) -> str:
    return f"d{domain:05d}.bench.example"


def local_part(alias: int) -> str:
    """Local part of an alias, without subaddress delimiters."""
    return f"person{alias:07d}"


def mailbox_address(mailbox: int) -> str:
    return f"box{mailbox:04d}@mailboxes.bench.example"
