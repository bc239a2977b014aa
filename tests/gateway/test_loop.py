"""The gateway's loop is never held: what one client asks for lets the others wait shortly only."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.smtpd.limits import Limits
from gateway.smtpd.server import tls_context
from mailrouting import certificate
from mailrouting.embedded import REPOSITORY
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.stage import Stage
from tests.waiting import wait_until

LONGEST_SECONDS = 0.1
TICK_SECONDS = 0.005
LOAD_SECONDS = 180


class LoopWatch:
    """Ticks on a loop and notes how long it was held between two ticks, at worst.

    What the loop's thread waited for a processor is taken off: other processes' work holds nobody.
    """

    def __init__(self, gateway: LiveGateway) -> None:
        self.worst_seconds = 0.0
        self.ticks = 0
        self._task: Future[None] = asyncio.run_coroutine_threadsafe(self._run(), gateway.loop)

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            began, waited = time.perf_counter(), _seconds_without_processor()
            await asyncio.sleep(TICK_SECONDS)
            late = time.perf_counter() - began - TICK_SECONDS
            held = late - (_seconds_without_processor() - waited)
            self.worst_seconds = max(self.worst_seconds, held)
            self.ticks += 1


def _seconds_without_processor() -> float:
    """How long the calling thread was ready to run and did not (Linux, schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@pytest.fixture(params=["plain", "aiosmtpd"])
def gateway(
    request: pytest.FixtureRequest, database: None, socket_enabled: None, tmp_path: Path
) -> Iterator[LiveGateway]:
    files = certificate.ensure(tmp_path, hostname="localhost", now=datetime.now(UTC))
    limits = Limits(delay_seconds=0, client_errors=0)
    options = {"limits": limits, "tls": tls_context(*map(str, files))}
    with live_gateway(is_plain=request.param == "plain", **options) as running:
        yield running


@pytest.fixture
def _frozen() -> Iterator[None]:
    """The tests' own objects are no burden of the gateway's collector."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_frozen")
def test_loop_is_never_held_under_mixed_load(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    watch = LoopWatch(gateway)

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.gateway.mixed_load",
            str(gateway.port),
            stage.address("hello"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=LOAD_SECONDS,
        check=False,
    )

    watch.stop()
    assert done.returncode == 0, done.stderr
    assert watch.ticks > 100
    assert watch.worst_seconds < LONGEST_SECONDS


def test_watch_sees_a_loop_that_is_held(gateway: LiveGateway):
    watch = LoopWatch(gateway)
    wait_until(lambda: watch.ticks > 0)

    gateway.loop.call_soon_threadsafe(time.sleep, 2 * LONGEST_SECONDS)

    wait_until(lambda: watch.worst_seconds > LONGEST_SECONDS, seconds=5)
    watch.stop()
