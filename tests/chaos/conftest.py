"""The whole product with a second gateway and a broker that can be killed, for one test."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

from tests.chaos.redis import Redis
from tests.dns_server import run_dns_world

if TYPE_CHECKING:
    from tests.e2e.stack import Stack
    from tests.gateway.sink import Sink
    from tests.gateway.stage import Stage

# What a killed worker held is sent by another soon.
IMPATIENT = {"DELIVERY_ATTEMPT_SECONDS": "5", "DELIVERY_LEASE_SECONDS": "36"}


@pytest.fixture
def redis(socket_enabled: None) -> Iterator[Redis]:
    from mailrouting.supervisor import choose_free

    with tempfile.TemporaryDirectory(prefix="mailrouting-redis-") as folder:
        server = Redis(Path(folder), *choose_free(["127.0.0.1"]))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def stack(redis: Redis) -> "Iterator[Stack]":
    from tests.e2e.stack import running

    with (
        tempfile.TemporaryDirectory(prefix="mailrouting-chaos-") as root,
        run_dns_world() as dns,
        running(
            Path(root),
            dns_resolvers=dns.resolvers,
            dns_port=dns.port,
            broker_url=redis.url,
            settings=IMPATIENT,
        ) as stack,
    ):
        yield stack


@pytest.fixture
def stage(stack: "Stack", django_db_blocker: DjangoDbBlocker) -> "Iterator[Stage]":
    from tests.gateway.stage import Stage

    with on_database(stack, django_db_blocker):
        yield Stage()


@pytest.fixture
def sink(socket_enabled: None) -> "Iterator[Sink]":
    from tests.gateway.sink import Sink, running

    with running(Sink()) as listening:
        yield listening


@contextmanager
def on_database(stack: "Stack", blocker: DjangoDbBlocker) -> Iterator[None]:
    """The models read and write the stack's database."""
    from tests.e2e.conftest import pointed_at

    with blocker.unblock(), pointed_at(stack.database_url):
        yield
