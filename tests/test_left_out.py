"""What a run leaves out: it says so, and REQUIRE_ALL=1 takes no skip for a pass."""

from types import SimpleNamespace
from typing import Any

import pytest

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
