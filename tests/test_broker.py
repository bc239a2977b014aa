"""The brokers as the product uses them: folders with many at them, and a Redis that ends."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from mailrouting.broker import Channel, use_our_transports
from mailrouting.supervisor import choose_free
from tests.chaos.redis import Redis
from tests.waiting import wait_until

MESSAGES = 2000


@pytest.fixture
def open_channel(tmp_path: Path) -> Iterator[Callable[[], Channel]]:
    """Opens channels to one broker, each as a process of its own would."""
    use_our_transports()
    options = {}
    for name in ("data_folder_in", "data_folder_out", "control_folder"):
        folder = tmp_path / name.removesuffix("_in").removesuffix("_out")
        folder.mkdir(exist_ok=True)
        options[name] = str(folder)
    opened = [Connection("filesystem://", transport_options=options) for _ in range(9)]
    yield iter([connection.channel() for connection in opened]).__next__
    for connection in opened:
        connection.close()


def test_reader_never_meets_half_a_message(open_channel: Callable[[], Channel]) -> None:
    """Kombu's own reader takes a file that is opened and not yet written, and fails at it."""
    reader, writer = open_channel(), open_channel()
    read: list[int] = []

    def write() -> None:
        for number in range(MESSAGES):
            writer._put("bell", {"number": number, "padding": "x" * 1000})

    def has_read_all() -> bool:
        try:
            while True:
                read.append(reader._get("bell")["number"])
        except Empty:
            return len(read) == MESSAGES

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(has_read_all)
    thread.join()
    assert sorted(read) == list(range(MESSAGES))


def test_queue_that_many_bind_at_once_has_one_table(open_channel: Callable[[], Channel]) -> None:
    channels = [open_channel() for _ in range(8)]
    together = threading.Barrier(len(channels))

    def bind(channel: Channel) -> None:
        together.wait()
        channel._queue_bind("celery", "celery", "", "celery")
        assert channel.get_table("celery") == [("celery", "", "celery")]

    threads = [threading.Thread(target=bind, args=[channel]) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.needs("redis")
def test_acknowledging_over_a_closed_channel_is_a_lost_connection(
    tmp_path: Path, socket_enabled: None
) -> None:
    """Kombu's own transport fails with an AttributeError here, at which a worker ends for good."""
    use_our_transports()
    redis = Redis(tmp_path, *choose_free(["127.0.0.1"]))
    redis.start()
    connection = Connection(redis.url)
    channel = connection.channel()
    channel.close()
    with pytest.raises(connection.connection_errors):
        channel.basic_ack("fetched before")
    redis.stop()
