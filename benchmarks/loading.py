"""Fills one database: our rows by COPY, and the peers' tables out of those very rows.

`python -m benchmarks.loading 1000 100` (aliases, domains) works on DATABASE_URL, a superuser's:
triggers are off for the load, so no history is written, as these rows are nobody's edits. Columns
and defaults come from the models, so that a new field with a default needs no change here.
"""

import sys

import django

django.setup()

from django.db import connection  # noqa: E402 - models need the set-up

from benchmarks import population  # noqa: E402
from benchmarks.database import HOP, PEERS_ALIASES, PEERS_DOMAINS  # noqa: E402
from benchmarks.population import Population  # noqa: E402
from mailrouting.embedded import ROLE  # noqa: E402
from tenants.loading import copy_rows  # noqa: E402
from tenants.models import Alias, Domain, Mailbox, NextHop, Plan, Target, Tenant  # noqa: E402

# Limits that no run reaches: the gateway has to count, as it does for a customer.
MESSAGES_PER_HOUR = 2_000_000_000
STORED_OCTETS = 10**15

PEERS_TABLES = f"""
CREATE TABLE {PEERS_DOMAINS} (name text PRIMARY KEY);
CREATE TABLE {PEERS_ALIASES} (address text NOT NULL, goto text NOT NULL);
INSERT INTO {PEERS_DOMAINS} SELECT name FROM tenants_domain;
INSERT INTO {PEERS_ALIASES}
    SELECT address.key, mailbox.address
    FROM tenants_address address
    JOIN tenants_target target ON target.address_id = address.id
    JOIN tenants_mailbox mailbox ON mailbox.id = target.mailbox_id;
ALTER TABLE {PEERS_ALIASES} ADD PRIMARY KEY (address);
"""  # noqa: S608 - names of ours


def main(people: Population) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"SET ROLE {ROLE}")
        _copy_control_plane(people)
        cursor.execute(PEERS_TABLES)
        cursor.execute("RESET ROLE")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def _copy_control_plane(people: Population) -> None:
    """Plan, tenants, domains, mailboxes, and one alias with one target a number."""
    plan = Plan.objects.create(
        name="Benchmark", messages_per_hour=MESSAGES_PER_HOUR, stored_octets=STORED_OCTETS
    )
    hop = NextHop.objects.create(name=HOP, host="127.0.0.1", port=9, tls=NextHop.Tls.NONE)
    copy_rows(
        Tenant(plan=plan),
        ("id", "external_id", "name"),
        ((n + 1, f"tenant-{n}", f"Tenant {n}") for n in range(population.TENANTS)),
    )
    copy_rows(
        Domain(state=Domain.State.ACTIVE),
        ("id", "tenant_id", "name", "u_label", "token"),
        (
            (n + 1, population.tenant_of(n) + 1, name, name, f"token-{n}")
            for n in range(people.domains)
            for name in [population.domain_name(n)]
        ),
    )
    copy_rows(
        Mailbox(next_hop=hop),
        ("id", "tenant_id", "address", "key"),
        (
            (n + 1, n // population.MAILBOXES_PER_TENANT + 1, address, address)
            for n in range(population.MAILBOXES)
            for address in [population.mailbox_address(n)]
        ),
    )
    copy_rows(
        Alias(),
        ("id", "domain_id", "local_part", "key"),
        (
            (n + 1, people.domain_of(n) + 1, population.local_part(n), people.address(n))
            for n in range(people.aliases)
        ),
    )
    copy_rows(
        Target(kind="mailbox"),
        ("id", "address_id", "mailbox_id"),
        ((n + 1, n + 1, people.mailbox_of(n) + 1) for n in range(people.aliases)),
    )


if __name__ == "__main__":
    main(Population(*map(int, sys.argv[1:])))
