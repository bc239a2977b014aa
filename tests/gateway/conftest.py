"""A gateway over a real database, whose rows stay written; see stage.py."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django import DjangoDbBlocker

if TYPE_CHECKING:
    from tests.gateway.live import LiveGateway
    from tests.gateway.sink import Sink
    from tests.gateway.stage import Stage

    Opener = Callable[..., LiveGateway]


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database, with what is written staying written."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def stage(database: None) -> "Stage":
    from tests.gateway.stage import Stage

    return Stage()


@pytest.fixture(params=["plain", "aiosmtpd"])
def gateway(
    request: pytest.FixtureRequest, database: None, socket_enabled: None
) -> "Iterator[LiveGateway]":
    """Each wire test runs through both ways of a session, which must answer the same."""
    from tests.gateway.live import live_gateway

    with live_gateway(is_plain=request.param == "plain") as running:
        yield running


@pytest.fixture(params=["plain", "aiosmtpd"])
def opened(
    request: pytest.FixtureRequest, database: None, socket_enabled: None
) -> "Iterator[Opener]":
    """Opens a gateway with limits of the test's own."""
    from gateway.smtpd.limits import Limits
    from tests.gateway.live import live_gateway

    with ExitStack() as stack:

        def open_gateway(options: dict[str, Any] | None = None, **limits: Any) -> "LiveGateway":
            is_plain = request.param == "plain"
            about = {"is_plain": is_plain, "limits": Limits(**limits)} | (options or {})
            return stack.enter_context(live_gateway(**about))

        yield open_gateway


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """What a gateway needs for STARTTLS."""
    from gateway.smtpd.server import tls_context
    from mailrouting import certificate

    files = certificate.ensure(tmp_path, hostname="localhost", now=datetime.now(UTC))
    context = tls_context(*map(str, files))
    assert context is not None
    return context


@pytest.fixture
def mail(database: None) -> None:
    """No mail but what the test stores: for tests that deliver everything that is due."""
    from tests.gateway import outbox

    outbox.empty()


@pytest.fixture
def sink(mail: None, socket_enabled: None) -> "Iterator[Sink]":
    """A next hop that takes everything until its script says otherwise."""
    from tests.gateway.sink import Sink, running

    with running(Sink()) as listening:
        yield listening
