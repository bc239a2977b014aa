"""`manage.py up` itself: killed without a warning it leaves nothing behind, and starts again."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailrouting.embedded import REPOSITORY
from mailrouting.supervisor import python
from tests.e2e.stack import children_of
from tests.waiting import is_running, wait_until


def test_killed_supervisor_leaves_no_process_and_the_next_start_works() -> None:
    with tempfile.TemporaryDirectory(prefix="mailrouting-up-") as root:
        with up(root) as first:
            wait_for_line(first, "Ctrl-C stops it")
            started = descendants(first.pid)
            assert len(started) > 10  # five leashes, five commands and what those started
            first.kill()
        wait_until(lambda: not any(map(is_running, started)))
        with up(root, "--run", "true") as second:
            wait_for_line(second, "Everything is ready")
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


def wait_for_line(process: subprocess.Popen[str], part: str) -> str:
    """The first line of output that contains this."""
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if part in line:
            return line
    raise AssertionError(f"it never said {part!r}: {said}")


def descendants(pid: int) -> set[int]:
    """Every process below this one."""
    found = set(children_of(pid))
    return found.union(*map(descendants, found))
