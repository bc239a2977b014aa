"""The folders that are the try-out's broker, read as a broker that may be away.

Celery asks for messages with a wait of two seconds and looks at its stop signal only in
between; three such waits in a row would make each stop of the try-out take six. And a worker
gives up for good at an error that its transport does not name.
"""

import os
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem

LONGEST_WAIT_SECONDS = 0.2


class Transport(filesystem.Transport):
    """Kombu's `filesystem://`, which returns soon when there is nothing to fetch."""

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


def use_for_folders() -> None:
    """Let `filesystem://` mean this transport."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
