"""Names of every domain, alias and mailbox of a run, computed from a number alone.

Loader, peers and load generator share nothing else, so none of them has to read
the others' data. Tenants, domains and mailboxes are as many at every size: only the
number of aliases varies between 1,000 and 1,000,000.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

TENANTS = 20
DOMAINS_PER_TENANT = 5
MAILBOXES_PER_TENANT = 50
DOMAINS = TENANTS * DOMAINS_PER_TENANT
MAILBOXES = TENANTS * MAILBOXES_PER_TENANT
SENDER = "sender@elsewhere.bench.example"


def domain_of(alias: int) -> int:
    """Number of the domain that holds the alias."""
    return alias % DOMAINS


def tenant_of(alias: int) -> int:
    """Number of the tenant that owns the alias's domain."""
    return domain_of(alias) // DOMAINS_PER_TENANT


def mailbox_of(alias: int) -> int:
    """Number of the mailbox to which the alias delivers; one of the same tenant."""
    return tenant_of(alias) * MAILBOXES_PER_TENANT + alias // DOMAINS % MAILBOXES_PER_TENANT


def domain_name(domain: int) -> str:
    return f"d{domain:03d}.bench.example"


def local_part(alias: int) -> str:
    """Local part of an alias, without subaddress delimiters."""
    return f"person{alias:07d}"


def address(alias: int) -> str:
    return f"{local_part(alias)}@{domain_name(domain_of(alias))}"


def mailbox_address(mailbox: int) -> str:
    return f"box{mailbox:04d}@mailboxes.bench.example"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address to ask a server about, and whether it exists there."""

    address: str
    is_known: bool


def draw(aliases: int, random: Random, *, unknown_share: float) -> Iterator[Recipient]:
    """Endless recipients, uniform over the aliases; unknown ones lie in hosted domains."""
    while True:
        number = random.randrange(aliases)
        if random.random() < unknown_share:
            yield Recipient(f"stranger.{address(number)}", is_known=False)
        else:
            yield Recipient(address(number), is_known=True)
