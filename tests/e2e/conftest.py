"""One running product for all tests of this folder, and Django pointed at its database.

The tests share a worker of pytest-xdist (tests/conftest.py), so that it is started once. They make
tenants and domains of their own and never empty a table.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from mailrouting.environment import Env
from tests.dns_server import DnsWorld, run_dns_world

if TYPE_CHECKING:
    from tests.e2e.stack import Stack
    from tests.gateway.sink import Sink
    from tests.gateway.stage import Stage


@pytest.fixture(scope="session")
def dns() -> Iterator[DnsWorld]:
    """Real name servers that the product asks."""
    with run_dns_world() as world:
        yield world


@pytest.fixture(scope="session")
def stack(dns: DnsWorld) -> "Iterator[Stack]":
    """Everything that `manage.py up` starts, ready for work."""
    from tests.e2e.stack import running

    with (
        tempfile.TemporaryDirectory(prefix="mailrouting-e2e-") as root,
        running(Path(root), dns_resolvers=dns.resolvers, dns_port=dns.port) as stack,
    ):
        yield stack


@pytest.fixture
def database(stack: "Stack", django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The models read and write the stack's database."""
    with django_db_blocker.unblock(), pointed_at(stack.database_url):
        yield


@pytest.fixture
def stage(database: None) -> "Stage":
    """A tenant with an active domain of its own."""
    from tests.gateway.stage import Stage

    return Stage()


@pytest.fixture
def sink(socket_enabled: None) -> "Iterator[Sink]":
    """A next hop that takes everything until its script says otherwise."""
    from tests.gateway.sink import Sink, running

    with running(Sink()) as listening:
        yield listening


@contextmanager
def pointed_at(url: str) -> Iterator[None]:
    """Let Django's connection of this thread be one to another database."""
    former = connections["default"]
    other = former.copy()
    other.settings_dict |= Env.db_url_config(url)
    options = other.settings_dict["OPTIONS"]
    other.settings_dict["HOST"] = options.pop("host", other.settings_dict["HOST"])
    connections["default"] = other
    try:
        yield
    finally:
        other.close()
        connections["default"] = former
