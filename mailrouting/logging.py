"""One event, one line, on standard error: `key=value` words, or JSON by LOG_FORMAT.

structlog writes its lines directly (the gateway writes many); those of the standard
library's loggers pass through the same processors. What a peer sent may stand in a
value but cannot start a new line or reach a terminal.
"""

import asyncio
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from threading import Lock
from typing import Any, TextIO

import structlog
from django.conf import settings

Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Event], Any]

# They set up handlers of their own before we are asked.
SELF_HANDLED = ("gunicorn.error", "gunicorn.access")
LEVELS = {"exception": "error", "warn": "warning"}
_BARE = re.compile(r"[!#-<>-\[\]-~]*\Z")  # printable ASCII but space, quote, equals and backslash


def configure(process: str) -> None:
    """Set up logging for this process; `process` names it in every line."""
    level = logging.getLevelNamesMapping()[settings.LOG_LEVEL.upper()]
    render = _render(process)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *render]
        if process == "web"
        else render,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=LineWriter.factory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _route_standard_library(level, render)


def _render(process: str) -> list[Processor]:
    if settings.LOG_FORMAT != "json":
        return [Logfmt(process)]

    def name_process(_logger: object, _method: str, event: Event) -> Event:
        event["process"] = process
        return event

    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]


class Logfmt:
    """Makes an event its line in one go: time, level, process and event first, then its words.

    The gateway writes a line for each decision: a chain of processors for the same took a fifth
    of its time.
    """

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, logger: object, method: str, event: Event) -> str:
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, method, event)
        name = _quote(str(event.pop("event", "")))
        level = LEVELS.get(method, method)
        head = f"timestamp={_now()} level={level} process={self._process} event={name}"
        words = [
            f"{key}={_quote(value) if type(value) is str else _word(value)}"
            for key, value in event.items()
        ]
        return " ".join([head, *words])


def _now() -> str:
    """This moment in UTC (RFC 3339), to the microsecond."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _word(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote(str(value))


@lru_cache(maxsize=1024)
def _quote(text: str) -> str:
    """The text as it is, or in quotes with all that could end a word or a line escaped."""
    if _BARE.match(text):
        return text
    escaped = _escape(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


class LineWriter:
    """Writes the lines of one turn of the event loop at once; without a loop, each by itself."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: list[str] = []
        self._lock = Lock()

    @classmethod
    def factory(cls, file: TextIO) -> "Callable[..., LineWriter]":
        """What structlog asks for a logger: all of a process share one."""
        shared = cls(file)
        return lambda *_names: shared

    def msg(self, line: str) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write(line + "\n")
            return
        if not self._lines:
            loop.call_soon(self._write_waiting)
        self._lines.append(line)

    debug = info = warning = warn = error = exception = critical = fatal = failure = log = msg

    def _write_waiting(self) -> None:
        lines, self._lines = self._lines, []
        self._write("\n".join(lines) + "\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self._file.write(text)
            self._file.flush()


def _route_standard_library(level: int, render: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_logger_name,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in SELF_HANDLED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
