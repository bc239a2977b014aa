"""`manage.py up` itself: killed without a warning it leaves nothing behind, and starts again."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from mailrouting.embedded import REPOSITORY
from mailrouting.supervisor import python
from tests.e2e.stack import children_of
from tests.waiting import is_running, told_of, wait_until

# A second start may take six seconds on two cores. Other tests use them meanwhile: a clock would
# measure those, and CPU time grows by up to a half where two threads share a core.
READY_CPU_SECONDS = 6 * 2 * 1.5
USER_MADE = "Created the user admin"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def test_killed_supervisor_leaves_no_process_and_the_next_start_works() -> None:
    with tempfile.TemporaryDirectory(prefix="mailrouting-up-") as root:
        with up(root) as first:
            assert USER_MADE in read_until(first, "Ctrl-C stops it")
            started = descendants(first.pid)
            assert len(started) > 10  # five leashes, five commands and what those started
            first.kill()
        wait_until(lambda: not any(map(is_running, started)))
        with up(root) as second:
            said = read_until(second, "Everything is ready")
            assert USER_MADE not in said, "the data of the first start are there"
            assert cpu_seconds(second.pid) < READY_CPU_SECONDS
            second.send_signal(signal.SIGINT)
            assert second.wait(30) == 0
        assert not (Path(root) / "postgres" / "postmaster.pid").exists()


@contextmanager
def up(root: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in a data folder of its own; killed where the test did not end it."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    with subprocess.Popen(
        python("manage.py", "up", "--free-ports", "--data", root, *words),
        cwd=REPOSITORY,
        env=environment | {"BROKER_URL": "filesystem://localhost"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], part: str) -> str:
    """What it says up to the line that contains this."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if part in line:
            return said
    raise AssertionError(f"it never said {part!r}: {said}")


def cpu_seconds(pid: int) -> float:
    """What this process, those below it and those of them that ended have used so far."""
    ticks = (told_of(each)[11:15] for each in {pid, *descendants(pid)})
    return sum(map(int, chain(*ticks))) / TICKS_PER_SECOND


def descendants(pid: int) -> set[int]:
    """Every process below this one."""
    found = set(children_of(pid))
    return found.union(*map(descendants, found))
