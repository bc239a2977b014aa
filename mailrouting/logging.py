"""One event, one line, on standard error: `key=value` words, or JSON by LOG_FORMAT.

structlog writes its lines directly (the gateway writes many); those of the standard
library's loggers pass through the same processors. What a peer sent may stand in a
value but cannot start a new line or reach a terminal.
"""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from django.conf import settings

Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Event], Event]

FIRST_KEYS = ("timestamp", "level", "process", "event")
# They set up handlers of their own before we are asked.
SELF_HANDLED = ("gunicorn.error", "gunicorn.access")


def configure(process: str) -> None:
    """Set up logging for this process; `process` names it in every line."""
    level = logging.getLevelNamesMapping()[settings.LOG_LEVEL.upper()]
    shared = _shared(process)
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, *_render()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _route_standard_library(level, shared)


def _shared(process: str) -> list[Any]:
    def name_process(_logger: object, _method: str, event: Event) -> Event:
        event["process"] = process
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]


def _render() -> list[Any]:
    if settings.LOG_FORMAT == "json":
        return [structlog.processors.JSONRenderer(default=str)]
    return [escape_unprintable, structlog.processors.LogfmtRenderer(key_order=FIRST_KEYS)]


def escape_unprintable(_logger: object, _method: str, event: Event) -> Event:
    """Replace control characters and line separators in texts by their escapes."""
    for key, value in event.items():
        text = value if isinstance(value, str | int | float | None) else str(value)
        event[key] = _escape(text) if isinstance(text, str) else text
    return event


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _route_standard_library(level: int, shared: list[Any]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *_render(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in SELF_HANDLED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
