"""The embedded PostgreSQL, started for real: what it keeps, refuses and says."""

import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mailrouting import embedded, postgres
from mailrouting.children import StartError
from mailrouting.postgres import Binaries, cluster, find_binaries
from tests.waiting import is_running, wait_until

HOLDS_A_CLUSTER = """
import sys
from pathlib import Path
from mailrouting.postgres import cluster
with cluster(Path(sys.argv[1]), durable=False) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder whose cluster was made and stopped; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="mailrouting-postgres-") as name:
        with cluster(Path(name), durable=False) as url, psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'from the first start' AS text")
        yield Path(name)


@pytest.fixture
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mailrouting-postgres-") as name:
        yield Path(name)


def test_second_start_reuses_the_data(made: Path) -> None:
    with cluster(made) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT text FROM kept").fetchone() == ("from the first start",)


def test_role_may_create_databases_but_is_no_superuser(made: Path) -> None:
    with cluster(made, durable=False) as url, psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT current_user, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == ("mailrouting", False, True)


@pytest.mark.parametrize("role", ["mailrouting", "postgres"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_wrong_password_is_refused(made: Path, role: str, password: str) -> None:
    with cluster(made, durable=False) as url:
        attempt = make_conninfo(url, user=role, password=password)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(attempt)


def test_durable_cluster_waits_for_the_disk(made: Path) -> None:
    with cluster(made) as url, psycopg.connect(url) as connection:
        shown = [
            connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
        ]
    assert shown == [("on",), ("on",), ("on",), ("",)]


def test_secrets_are_closed_to_others(made: Path) -> None:
    assert stat.S_IMODE((made / "postgres.password").stat().st_mode) == 0o600
    assert stat.S_IMODE((made / "run").stat().st_mode) == 0o700


def test_second_start_while_one_runs_says_so(made: Path) -> None:
    with cluster(made, durable=False), pytest.raises(StartError, match="already runs"):  # noqa: SIM117
        with cluster(made, durable=False):
            pass


def test_data_of_another_major_names_the_version_to_install(empty: Path) -> None:
    (empty / "postgres").mkdir()
    (empty / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StartError, match=r"made by PostgreSQL 9.*apt install postgresql-9"):  # noqa: SIM117
        with cluster(empty):
            pass


def test_no_binaries_names_both_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_installed", lambda: iter(()))
    with pytest.raises(StartError, match=r"embedded\.txt.*DATABASE_URL"):
        find_binaries()


def test_older_majors_are_not_used_for_new_data(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Binaries(Path("/old"), "14.9"), Binaries(Path("/new"), "16.1")]
    monkeypatch.setattr(postgres, "_installed", lambda: iter(found))
    assert find_binaries() == found[1]
    assert find_binaries(14) == found[0]


def test_socket_folder_of_a_stranger_is_refused(made: Path) -> None:
    shutil.move(made / "run", made / "run.own")
    (made / "run").touch()
    try:
        with pytest.raises(StartError, match="belongs to another account"):  # noqa: SIM117
            with cluster(made, durable=False):
                pass
    finally:
        (made / "run").unlink()
        shutil.move(made / "run.own", made / "run")


def test_binaries_in_a_closed_folder_are_copied_with_their_libraries(empty: Path) -> None:
    closed, data = empty / "closed", empty / "data"
    programs = closed / "package" / "pginstall18" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").write_text("program")
    (closed / "package.libs").mkdir()
    (closed / "package.libs" / "library.so").write_text("library")
    closed.chmod(0o700)
    empty.chmod(0o711)

    copied = postgres._within_reach(Binaries(programs, "18.4"), data)

    assert (copied.folder / "postgres").read_text() == "program"
    assert (copied.folder / "../../../package.libs/library.so").read_text() == "library"
    assert postgres._within_reach(Binaries(programs, "18.4"), data) == copied


def test_long_path_moves_only_the_socket(empty: Path) -> None:
    assert embedded.socket_folder(empty) == empty / "run"
    assert embedded.socket_folder(empty / ("x" * 80)).parent == Path("/tmp")


def test_address_before_there_is_a_cluster_is_harmless(empty: Path) -> None:
    url = embedded.database_url(empty)
    assert conninfo_to_dict(url)["host"] == str(empty / "run")
    with pytest.raises(psycopg.OperationalError, match="No such file"):
        psycopg.connect(url)


def test_kept_secret_is_made_once(empty: Path) -> None:
    first = embedded.secret_key(empty)
    assert len(first) >= 50
    assert embedded.secret_key(empty) == first
    assert stat.S_IMODE((empty / "secret_key").stat().st_mode) == 0o600


def test_killed_holder_leaves_no_server_and_the_next_start_works(made: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_CLUSTER, str(made)],
        cwd=embedded.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline().startswith(b"postgresql://")
        server = int((made / "postgres" / "postmaster.pid").read_text().split()[0])
        holder.send_signal(signal.SIGKILL)
    with cluster(made, durable=False) as url:
        psycopg.connect(url).close()
        assert not is_running(server)
    wait_until(lambda: not list((made / "run").iterdir()))


def test_killed_server_recovers_what_was_committed(made: Path) -> None:
    with postgres.running(made) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS survivor AS SELECT 1 AS number")
        pid = int((made / "postgres" / "postmaster.pid").read_text().split()[0])
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        assert server.child.has_ended(within_seconds=20)
    with cluster(made) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM survivor").fetchone() == (1,)
