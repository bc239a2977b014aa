"""The cast of tests/world.py, a member of staff and a browser, made anew for each test.

Conftests are read before Django is set up: models are imported inside.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

    from tests.gateway.sink import Sink
    from tests.world import World


@pytest.fixture
def smtp(settings: Any) -> "Iterator[Sink]":
    """The server for the panel's own mail."""
    from tests.gateway.sink import Sink, running

    with running(Sink()) as sink:
        settings.PANEL_MAIL_URL = f"smtp://127.0.0.1:{sink.port}"
        yield sink


@pytest.fixture
def empty(db: None) -> None:
    """Nothing that other tests wrote for good: what watches looks at everything there is."""
    from django.db import connection

    from tests.gateway import outbox

    outbox.empty()
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE tenants_tenant, gateway_counter, gateway_refusalcount, watch_alarm,"
            " watch_heartbeat CASCADE"
        )


@pytest.fixture
def world(empty: None) -> "World":
    from tests.world import make_world

    return make_world()


@pytest.fixture
def ops(db: None) -> "User":
    """A member of staff who may do everything."""
    from tests.staff import make_staff

    return make_staff()


@pytest.fixture
def client(ops: "User") -> "Client":
    """A browser that `ops` is signed in with."""
    from tests.staff import client_of

    return client_of(ops)
