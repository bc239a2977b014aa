"""One event, one line: what a peer sends can neither start a line nor reach a terminal."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pytest_django import Settings

from mailrouting.logging import configure

HOSTILE = "a\r\nevent=forged\x1b[2J\u2028\x9b"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("source", ["structlog", "standard library"])
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_hostile_text_stays_in_its_line(
    source: str, form: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.LOG_FORMAT = form
    configure("gateway")
    if source == "structlog":
        structlog.get_logger().info("decided", helo=HOSTILE)
    else:
        logging.getLogger("peer").info("decided %s", HOSTILE)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert "gateway" in line


def test_line_names_time_level_process_and_event_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker")
    structlog.get_logger().warning("delivery failed", delivery=7, reason='said "no"')
    _timestamp, rest = capsys.readouterr().err.split(" ", 1)
    assert rest == (
        'level=warning process=worker event="delivery failed" delivery=7 reason="said \\"no\\""\n'
    )


def test_json_line_holds_the_traceback(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.LOG_FORMAT = "json"
    configure("worker")
    try:
        raise ValueError("no such thing")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "no such thing" in json.loads(capsys.readouterr().err)["exception"]


def test_lines_below_the_level_are_left_out(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.LOG_LEVEL = "warning"
    configure("web")
    structlog.get_logger().info("quiet")
    logging.getLogger("peer").info("quiet")
    assert capsys.readouterr().err == ""
