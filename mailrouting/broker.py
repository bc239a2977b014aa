"""The folders that are the try-out's broker, so that a worker survives them and stops soon.

A worker gives up for good at an error that its transport does not name: at a folder that is away,
and at a message of which only the empty file is there yet. And Celery asks for messages with a wait
of two seconds, looking at its stop signal only in between: three in a row would take six.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

LONGEST_WAIT_SECONDS = 0.2


class Channel(filesystem.Channel):
    """Kombu's channel, with files that get their names once they are written."""

    def _put(self, queue: str, message: Any, **_options: Any) -> None:  # type: ignore[override]
        file = Path(self.data_folder_out) / f"{time.monotonic_ns()}_{uuid4()}.{queue}.msg"
        try:
            _write_whole(file, dumps(message), os.rename)  # type: ignore[no-untyped-call]
        except OSError as error:
            raise ChannelError(f"Cannot add {file} to the broker.") from error

    def _queue_bind(self, exchange: str, *arguments: Any) -> None:
        file = self._exchange_file(exchange)  # type: ignore[no-untyped-call]
        with suppress(FileExistsError):
            _write_whole(file, "[]", os.link)
        super()._queue_bind(exchange, *arguments)  # type: ignore[no-untyped-call]


def _write_whole(file: Path, text: str, publish: Callable[[str, Path], None]) -> None:
    """Write under a name that nobody looks for, then give it the file's."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".", delete=False) as hidden:
        try:
            hidden.write(text)
            hidden.flush()
            publish(hidden.name, file)
        finally:
            with suppress(FileNotFoundError):
                Path(hidden.name).unlink()


class Transport(filesystem.Transport):
    """Kombu's `filesystem://`, which returns soon when there is nothing to fetch."""

    Channel = Channel

    # A folder that cannot be read is a lost connection: the worker tries again until it is back.
    connection_errors = (*filesystem.Transport.connection_errors, OSError)  # type: ignore[assignment]

    def establish_connection(self) -> Any:
        """Raises OSError while the folders are away."""
        for name, folder in self.client.transport_options.items():  # type: ignore[union-attr]
            if "folder" in name:
                os.scandir(folder).close()
        return super().establish_connection()  # type: ignore[no-untyped-call]

    def drain_events(self, connection: Any, timeout: float | None = None, **_options: Any) -> Any:
        wait = LONGEST_WAIT_SECONDS if timeout is None else min(timeout, LONGEST_WAIT_SECONDS)
        return super().drain_events(connection, timeout=wait)  # type: ignore[no-untyped-call]


def use_our_transports() -> None:
    """Let `filesystem://` mean this transport, and `redis://` that of `redis_broker`."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "mailrouting.redis_broker:Transport"
