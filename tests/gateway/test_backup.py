"""A backup of a running installation, restored into an empty place: mail, rules, history."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from gateway.models import Delivery
from mailrouting import backup
from mailrouting.backup import BackupError
from mailrouting.installation import known_migrations
from tests.databases import empty_database, one, url_of
from tests.gateway import outbox
from tests.gateway.stage import Stage

OCTETS = b"Subject: \x00\xff\r\n\r\nbody\r\n"
TARGETS = """
SELECT t.kind FROM tenants_target t JOIN tenants_address a ON a.id = t.address_id WHERE a.key = %s
"""


def silent(_done: int, _total: int, _text: str) -> None: ...


@pytest.fixture
def elsewhere(database: None) -> Iterator[str]:
    """An empty database."""
    with empty_database() as url:
        yield url


@dataclass(frozen=True, slots=True)
class Made:
    """A backup, and what it should hold."""

    folder: Path
    key: str
    waiting: UUID
    sent: UUID


@pytest.fixture(scope="module")
def made(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    folder = tmp_path_factory.mktemp("backups") / "backup"
    with django_db_blocker.unblock():
        outbox.empty()
        alias = Stage().alias("kept")
        (waiting,), (sent,) = outbox.put(octets=OCTETS), outbox.put()
        Delivery.objects.filter(pk=sent.pk).update(state="delivered")
        backup.back_up(url_of(), folder, silent)
    return Made(folder, alias.key, waiting.pk, sent.pk)


@pytest.fixture(scope="module")
def restored(made: Made, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The address of a database that was restored from it."""
    with django_db_blocker.unblock(), empty_database() as url:
        backup.restore(made.folder, url, known_migrations(), silent)
        yield url


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    """The backup once more, to be spoilt."""
    return Path(shutil.copytree(made.folder, tmp_path / "backup"))


def test_everything_is_there_again(made: Made, restored: str) -> None:
    octets = "SELECT octets FROM gateway_body b JOIN gateway_delivery d ON d.message_id = b.id"
    history = "SELECT count(*) FROM tenants_addressevent WHERE key = %s"

    assert one(restored, f"{octets} WHERE d.id = %s", made.waiting) == OCTETS
    assert one(restored, "SELECT count(*) FROM gateway_body") == 2
    assert one(restored, TARGETS, made.key) == "inbox"
    assert one(restored, history, made.key) == 1


def test_what_waited_is_held_and_what_was_delivered_is_not(made: Made, restored: str) -> None:
    assert backup.count_held(restored) == 1

    state = "SELECT state FROM gateway_delivery WHERE id = %s"
    assert one(restored, state, made.waiting) == "held"
    assert one(restored, state, made.sent) == "delivered"


def test_what_waited_is_held_by_the_commit_that_shows_it(
    made: Made, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers may be running on the database, and the command may be killed while it counts."""

    def break_off(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_compare", break_off)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(made.folder, elsewhere, known_migrations(), silent)

    waiting = "SELECT state FROM gateway_delivery WHERE id = %s"
    assert one(elsewhere, waiting, made.waiting) == "held"


def test_queue_that_is_kept_goes_on(
    made: Made, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endings: list[str] = []
    monkeypatch.setattr(backup, "_restore", lambda *_, ending, major: endings.append(ending))
    monkeypatch.setattr(backup, "_compare", lambda *_: None)

    backup.restore(made.folder, elsewhere, known_migrations(), silent, keeps_queue=True)

    assert endings == [""]


def test_history_cannot_be_changed_after_a_restore_either(restored: str) -> None:
    with psycopg.connect(restored) as session, pytest.raises(psycopg.Error, match="append_only"):
        session.execute("UPDATE tenants_addressevent SET note = 'forged'")


def test_database_that_holds_something_is_left_alone(made: Made, database: None) -> None:
    with pytest.raises(BackupError, match="holds tables already"):
        backup.restore(made.folder, url_of(), known_migrations(), silent)


def test_backup_of_a_newer_version_is_refused(made: Made, elsewhere: str) -> None:
    older = known_migrations() - {"gateway.0001_initial"}
    with pytest.raises(BackupError, match=r"newer version, which knows gateway\.0001_initial"):
        backup.restore(made.folder, elsewhere, older, silent)


def spoil(dump: Path) -> None:
    """Overwrite the end of the rows with zeros."""
    with dump.open("r+b") as file:
        file.seek(-2000, 2)
        file.write(bytes(2000))


def test_damaged_backup_is_recognised(copied: Path, elsewhere: str) -> None:
    spoil(copied / backup.DUMP)
    with pytest.raises(BackupError, match="is damaged"):
        backup.restore(copied, elsewhere, known_migrations(), silent)


def test_restore_that_breaks_off_leaves_nothing(copied: Path, elsewhere: str) -> None:
    """The rows end in the midst, and the manifest says that this is right."""
    spoil(copied / backup.DUMP)
    manifest = json.loads((copied / backup.MANIFEST).read_text())
    manifest["sha256"] = sha256((copied / backup.DUMP).read_bytes()).hexdigest()
    (copied / backup.MANIFEST).write_text(json.dumps(manifest))

    with pytest.raises(BackupError, match="pg_restore failed"):
        backup.restore(copied, elsewhere, known_migrations(), silent)

    assert one(elsewhere, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_rows_that_the_database_refuses_leave_nothing(made: Made, elsewhere: str) -> None:
    with psycopg.connect(elsewhere) as session:
        session.execute("CREATE VIEW account_emailaddress AS SELECT 1 AS taken")

    with pytest.raises(BackupError, match=r"nothing has changed: .*account_emailaddress"):
        backup.restore(made.folder, elsewhere, known_migrations(), silent)

    assert one(elsewhere, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_folder_that_is_no_backup_says_so(elsewhere: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"is no backup: .*manifest\.json is missing"):
        backup.restore(tmp_path, elsewhere, known_migrations(), silent)


def test_backup_does_not_overwrite(made: Made, database: None) -> None:
    with pytest.raises(BackupError, match="exists already"):
        backup.back_up(url_of(), made.folder, silent)


def test_backup_that_fails_leaves_no_folder(elsewhere: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="nothing to back up"):
        backup.back_up(elsewhere, tmp_path / "backup", silent)
    assert list(tmp_path.iterdir()) == []


def test_database_that_goes_away_is_said_in_a_sentence(made: Made, tmp_path: Path) -> None:
    """Before anything is written, while rows are compared, and while what is held is counted."""
    nowhere = f"postgresql:///nothing?host={tmp_path}"
    steps = [
        lambda: backup.restore(made.folder, nowhere, known_migrations(), silent),
        lambda: backup._compare(nowhere, backup.read_manifest(made.folder)),
        lambda: backup.count_held(nowhere),
    ]
    for step in steps:
        with pytest.raises(BackupError, match="does not answer"):
            step()


def test_backup_is_closed_to_others(made: Made) -> None:
    assert made.folder.stat().st_mode & 0o077 == 0
