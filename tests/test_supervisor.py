"""Starting, watching and ending processes, with small programs in the place of ours."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailrouting.children import StartError, hold, start
from mailrouting.embedded import REPOSITORY
from mailrouting.supervisor import (
    Listener,
    Service,
    Supervisor,
    ask,
    choose_free,
    python,
    require_free,
)
from tests.waiting import is_running, wait_until

# Answers /readyz with what it is told, and writes its name down when it is stopped.
DUMMY = """
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
name, port, status, journal = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def stop(*_):
    with open(journal, "a") as file:
        print(name, file=file)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            print("a last word", flush=True)
            import os
            os._exit(7)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"the tide")
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
SUPERVISES = f"""
import os, sys
from pathlib import Path
from mailrouting.children import hold
from mailrouting.supervisor import *
root, ports = Path(sys.argv[1]), [int(port) for port in sys.argv[2:]]
services = [
    Service(name, python("-c", {DUMMY!r}, name, str(port), "200", str(root / "journal")),
            Listener("PORT", "127.0.0.1", port))
    for name, port in zip(("first", "second"), ports)
]
try:
    with interruptible(), hold(root, "up") as lock, Supervisor(root, os.environ, lock) as running:
        for service in services:
            running.start(service)
        running.wait_until_ready(services)
        print(*(child.leash.pid for child in running._children), flush=True)
        running.check(within_seconds=None)
except Interrupted:
    print("stopped", flush=True)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with hold(tmp_path, "up") as lock:
        yield lock


def dummy(name: str, root: Path, *, status: int = 200) -> Service:
    (port,) = choose_free(["127.0.0.1"])
    command = python("-c", DUMMY, name, str(port), str(status), str(root / "journal"))
    return Service(name, command, Listener("DUMMY_PORT", "127.0.0.1", port))


def supervise(root: Path) -> subprocess.Popen[str]:
    ports = choose_free(["127.0.0.1"] * 2)
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISES, str(root), *map(str, ports)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def descendants(pid: int) -> set[int]:
    """The process and all that it started, by session, since leashes open sessions."""
    found = {pid}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(stat.read_text().rpartition(")")[2].split()[3])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == pid:
            found.add(int(stat.parent.name))
    return found


def test_services_stop_in_reverse_order(tmp_path: Path, lock: int) -> None:
    services = [dummy("first", tmp_path), dummy("second", tmp_path)]
    with Supervisor(tmp_path, os.environ, lock) as running:
        for service in services:
            running.start(service)
        running.wait_until_ready(services)
    assert (tmp_path / "journal").read_text().split() == ["second", "first"]


def test_child_that_dies_is_named_with_its_last_words(tmp_path: Path, lock: int) -> None:
    service = dummy("doomed", tmp_path)
    with Supervisor(tmp_path, os.environ, lock) as running:
        running.start(service)
        running.wait_until_ready([service])
        with closing(socket.create_connection(("127.0.0.1", service.probe.port))) as client:
            client.sendall(b"GET /die HTTP/1.0\r\n\r\n")
            with pytest.raises(StartError, match=r"(?s)doomed ended with status 7.*a last word"):
                running.check(within_seconds=20)


def test_child_that_cannot_start_is_named(tmp_path: Path, lock: int) -> None:
    service = Service("absent", ("/no/such/program",), Listener("PORT", "127.0.0.1", 1))
    with Supervisor(tmp_path, os.environ, lock) as running:
        running.start(service)
        with pytest.raises(StartError, match=r"(?s)absent ended.*No such file.*/no/such/program"):
            running.wait_until_ready([service])


def test_unready_service_says_what_it_lacks(tmp_path: Path, lock: int) -> None:
    service = dummy("waiting", tmp_path, status=503)
    with Supervisor(tmp_path, os.environ, lock) as running:
        running.start(service)
        wait_until(lambda: ask(service) == "503 the tide")


def test_command_runs_to_its_end_and_gives_its_status(tmp_path: Path, lock: int) -> None:
    with Supervisor(tmp_path, os.environ, lock) as running:
        assert running.run(python("-c", "raise SystemExit(3)")) == 3


def test_ended_by_a_signal_is_128_and_its_number(tmp_path: Path) -> None:
    child = start(["sh", "-c", "kill -KILL $$"], name="victim", log=tmp_path / "log" / "victim.log")
    assert child.wait() == 128 + signal.SIGKILL


def test_stubborn_child_is_killed_with_all_it_started(tmp_path: Path) -> None:
    child = start(
        ["sh", "-c", "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000"],
        name="stubborn",
        log=tmp_path / "log" / "stubborn.log",
        grace_seconds=0.1,
    )
    wait_until(lambda: bool(child.last_lines()))
    grandchild = int(child.last_lines()[0])
    assert child.stop() == 128 + signal.SIGKILL
    wait_until(lambda: not is_running(grandchild))


def test_leftovers_of_an_ended_child_are_killed(tmp_path: Path) -> None:
    log = tmp_path / "log" / "parent.log"
    child = start(["sh", "-c", "sleep 1000 & echo $!"], name="parent", log=log)
    assert child.wait() == 0
    wait_until(lambda: not is_running(int(child.last_lines()[0])))


def test_child_of_a_killed_leash_follows_it(tmp_path: Path) -> None:
    log = tmp_path / "log" / "orphan.log"
    child = start(["sh", "-c", "echo $$; exec sleep 1000"], name="orphan", log=log)
    wait_until(lambda: bool(child.last_lines()))
    child.leash.kill()
    assert child.wait() == 128 + signal.SIGKILL
    wait_until(lambda: not is_running(int(child.last_lines()[0])))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with supervise(tmp_path) as supervisor:
        assert supervisor.stdout
        processes = started_by(supervisor)
        supervisor.send_signal(number)
        assert supervisor.stdout.readline() == "stopped\n"
    assert not any(map(is_running, processes))
    assert (tmp_path / "journal").read_text().split() == ["second", "first"]


def test_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    with supervise(tmp_path) as supervisor:
        processes = started_by(supervisor)
        supervisor.kill()
    with hold(tmp_path, "up"):  # waits for what is still stopping
        assert not any(map(is_running, processes))
    assert sorted((tmp_path / "journal").read_text().split()) == ["first", "second"]


def started_by(supervisor: subprocess.Popen[str]) -> set[int]:
    """Every process below the supervisor, once it says that all are ready."""
    assert supervisor.stdout
    leashes = [int(pid) for pid in supervisor.stdout.readline().split()]
    found = {pid for leash in leashes for pid in descendants(leash)}
    assert len(found) == 4  # two leashes, two services
    return found


def test_folder_has_one_parent_at_a_time(tmp_path: Path) -> None:
    with hold(tmp_path, "up"), pytest.raises(StartError, match=f"process {os.getpid()}"):  # noqa: SIM117
        with hold(tmp_path, "up"):
            pass


def test_folder_is_free_only_once_the_children_ended(tmp_path: Path) -> None:
    with hold(tmp_path, "up") as lock:
        child = start(["sleep", "1000"], name="slow", log=tmp_path / "slow.log", lock=lock)
    with pytest.raises(StartError, match="earlier start"):  # noqa: SIM117
        with hold(tmp_path, "up", wait_seconds=0):
            pass
    stopping = threading.Thread(target=child.stop)
    stopping.start()
    with hold(tmp_path, "up"):
        stopping.join()


def test_port_in_use_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = Listener("WEB_PORT", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(StartError, match=r"in use.*set WEB_PORT to another port"):
            require_free([listener])


def test_one_port_for_two_services_is_found() -> None:
    (port,) = choose_free(["127.0.0.1"])
    twice = [Listener("WEB_PORT", "127.0.0.1", port), Listener("GATEWAY_PORT", "127.0.0.1", port)]
    with pytest.raises(StartError, match="set GATEWAY_PORT"):
        require_free(twice)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1:80"), ("0.0.0.0", "127.0.0.1:80"), ("::", "[::1]:80")],
)
def test_wildcard_is_shown_as_loopback(host: str, shown: str) -> None:
    assert str(Listener("PORT", host, 80)) == shown


def test_large_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "chatty.log"
    log.write_bytes(b"x" * (8 * 1024 * 1024 + 1))
    start(["echo", "fresh"], name="chatty", log=log).wait()
    assert log.read_text() == "fresh\n"
    assert (tmp_path / "chatty.log.1").exists()


def up(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    return subprocess.run(
        python("manage.py", "up", *words),
        check=False,
        cwd=REPOSITORY,
        env=environment | settings,
        capture_output=True,
        text=True,
    )


def test_up_on_a_used_port_says_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = up("--data", str(tmp_path / "data"), WEB_PORT=port)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port} cannot be used" in done.stderr
    assert "set WEB_PORT" in done.stderr


def test_broken_setting_says_one_sentence() -> None:
    done = up(WEB_PORT="eighty")
    assert done.returncode == 1
    assert (
        done.stderr == "The setting WEB_PORT cannot be 'eighty': see .env.example for its form.\n"
    )


def test_own_database_without_secret_key_says_one_sentence() -> None:
    done = up(DATABASE_URL="postgresql://localhost/mail", EMBEDDED="0", SECRET_KEY="")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "SECRET_KEY is not set" in done.stderr


def test_own_database_that_does_not_answer_is_said_in_a_sentence(tmp_path: Path) -> None:
    (port,) = choose_free(["127.0.0.1"])
    url = f"postgresql://127.0.0.1:{port}/mail"
    done = up("--free-ports", "--data", str(tmp_path), DATABASE_URL=url)
    assert done.returncode == 1
    assert "DATABASE_URL does not answer" in done.stderr
    assert "Traceback" not in done.stderr
