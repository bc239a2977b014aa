"""Redis as the broker, so that a worker outlives it.

A worker gives up for good at an error that its transport does not name. When Redis ends between a
message and its acknowledgement, Kombu asks a connection that it has just closed for another one,
and fails with an AttributeError: here that is a lost connection, as it is in truth.
"""

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    """Kombu's channel, which says what is wrong when its connection was closed."""

    def _connparams(self, *arguments: Any, **options: Any) -> Any:
        """Raises ConnectionError once the connection is closed."""
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("The connection to the broker was closed.")
        return super()._connparams(*arguments, **options)  # type: ignore[no-untyped-call]


class Transport(redis.Transport):
    """Kombu's `redis://`, which is lost and found again with the server."""

    Channel = Channel
