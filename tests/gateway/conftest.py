"""A gateway over a real database, whose rows stay written; see stage.py."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

if TYPE_CHECKING:
    from tests.gateway.live import LiveGateway
    from tests.gateway.stage import Stage


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database, with what is written staying written."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def stage(database: None) -> "Stage":
    from tests.gateway.stage import Stage

    return Stage()


@pytest.fixture
def gateway(database: None, socket_enabled: None) -> "Iterator[LiveGateway]":
    from tests.gateway.live import live_gateway

    with live_gateway() as running:
        yield running
