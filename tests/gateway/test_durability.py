"""What a commit outlives, as `check --deploy` tells, and migrations beside gateways that run."""

from io import StringIO

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from gateway.database import connection_parameters, seconds_to_connect
from gateway.models import Message
from mailrouting.checks import judge_durability
from mailrouting.management.commands import migrate
from tests.gateway.live import live_gateway
from tests.gateway.stage import Stage

CASES = [
    ("off", "on", "", "E004"),
    ("on", "off", "", "E004"),
    ("on", "off", "ANY 1 (b)", "E004"),
    ("on", "on", "", "I001"),
    ("on", "local", "ANY 1 (b)", "I001"),
    ("on", "on", "ANY 1 (b)", "I002"),
    ("on", "remote_apply", "b", "I002"),
]


@pytest.mark.parametrize(("fsync", "commit", "standbys", "said"), CASES)
def test_commit_is_judged(fsync: str, commit: str, standbys: str, said: str) -> None:
    found = judge_durability(fsync=fsync, commit=commit, standbys=standbys)

    assert found.id == f"mailrouting.{said}"


@pytest.mark.parametrize(
    ("host", "seconds"), [("", 3), ("db1", 3), ("db1,db2", 5), ("/run/a,/run/b,/run/c", 7)]
)
def test_each_of_several_servers_has_its_time_to_answer(host: str, seconds: int) -> None:
    assert seconds_to_connect({"host": host} if host else {}) == seconds


def told(**options: object) -> set[str | None]:
    found = run_checks(include_deployment_checks=True, **options)
    return {each.id for each in found} & {"mailrouting.E004", "mailrouting.I001"}


@pytest.mark.usefixtures("database")
def test_database_is_asked_only_where_that_is_allowed() -> None:
    assert told() == set()
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        before = told(databases=["default"])
        cursor.execute("SET synchronous_commit = off")
        after = told(databases=["default"])
        cursor.execute("RESET synchronous_commit")

    assert len(before) == 1
    assert after == {"mailrouting.E004"}


def change_a_table(*_arguments: object, **_options: object) -> None:
    """What a migration does that needs a table for itself."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE gateway_message ADD COLUMN tried int")


@pytest.mark.usefixtures("database", "socket_enabled")
def test_migration_that_waits_for_a_table_gives_up_and_mail_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 100)
    stage.alias("hello")
    with live_gateway() as gateway, psycopg.connect(**connection_parameters()) as reader:
        reader.execute("SELECT 1 FROM gateway_message LIMIT 1")  # a long transaction, a backup

        monkeypatch.setattr(migrate.migrate.Command, "handle", change_a_table)
        with pytest.raises(CommandError, match="run it again"):
            call_command("migrate", stdout=StringIO())

        reader.rollback()
        assert gateway.send(stage.address("hello")).startswith("250")
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
    assert Message.objects.filter(records__domain=stage.domain).count() == 1
