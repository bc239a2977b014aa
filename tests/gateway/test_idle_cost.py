"""What a thousand connections cost that do nothing: memory of the process, and others' time."""

import re
import time
from pathlib import Path
from statistics import median

import pytest

from tests.gateway.process import GatewayProcess, gateway_process

pytestmark = pytest.mark.usefixtures("database", "socket_enabled")

CONNECTIONS = 1000
MOST_MIB = 16
GREETED_SECONDS = 0.1


def memory_mib(process: GatewayProcess) -> float:
    """What the process keeps in memory, shared pages in part."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +([0-9]+) kB", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def seconds_to_greeting(process: GatewayProcess) -> float:
    started = time.perf_counter()
    with process.open() as wire:
        assert wire.reply().startswith("220")
        return time.perf_counter() - started


@pytest.mark.parametrize("has_spoken", [False, True])
def test_thousand_idle_connections_are_cheap_and_a_fresh_client_is_greeted_at_once(
    tmp_path: Path, has_spoken: bool
):
    with gateway_process(tmp_path, GATEWAY_EXEMPT_NETWORKS="127.0.0.0/8") as process:
        for _ in range(20):
            seconds_to_greeting(process)
        before = memory_mib(process)
        for _ in range(CONNECTIONS):
            wire = process.open()
            assert wire.reply().startswith("220")
            if has_spoken:
                assert wire.command("EHLO client.example").startswith("250")

        grown = memory_mib(process) - before
        waited = [seconds_to_greeting(process) for _ in range(21)]

    assert grown < MOST_MIB
    assert median(waited) < GREETED_SECONDS
