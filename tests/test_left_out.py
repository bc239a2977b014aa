"""What a run leaves out: it says so, and REQUIRE_ALL=1 takes no skip for a pass; the network."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_socket import SocketConnectBlockedError

from tests import conftest


def reported(**fields: Any) -> Any:
    """A report, as it leaves the hook."""
    passing = conftest.pytest_runtest_makereport()
    next(passing)
    with pytest.raises(StopIteration) as ended:
        passing.send(SimpleNamespace(longrepr="why", **fields))
    return ended.value.value


@pytest.mark.parametrize(
    ("report", "required", "outcome"),
    [
        ({"skipped": True, "outcome": "skipped"}, "1", "failed"),
        ({"skipped": True, "outcome": "skipped"}, "0", "skipped"),
        ({"skipped": True, "outcome": "skipped", "wasxfail": ""}, "1", "skipped"),
        ({"skipped": False, "outcome": "passed"}, "1", "passed"),
    ],
)
def test_skip_fails_where_all_is_required(
    monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], required: str, outcome: str
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", required)
    assert reported(**report).outcome == outcome


def test_root_is_missing_for_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert conftest.ROOT in conftest._missing()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert conftest.ROOT not in conftest._missing()


@pytest.mark.usefixtures("socket_enabled")
def test_nobody_reaches_beyond_this_machine() -> None:
    blocked = pytest.raises(SocketConnectBlockedError)
    with pytest.warns(UserWarning, match="192.0.2.1"), blocked:
        socket.create_connection(("192.0.2.1", 25), timeout=1)
