"""What a migration may do while gateways and workers of the version before go on.

Expand, then contract: a migration adds what the old code does not miss, and holds no table for
long. What nobody uses any more is taken away by a later version.
"""

from collections.abc import Iterator

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED
from pgtrigger.migrations import AddTrigger, RemoveTrigger

# The last ones that were made before this rule.
BEFORE = {"tenants": 13, "gateway": 20, "watch": 3}
# Migrations that take something away, by app and name: why no version that still runs misses it.
CONTRACTS: dict[tuple[str, str], str] = {}
CREATE = migrations.CreateModel
HARMLESS = (
    AddConstraintNotValid,
    AddIndexConcurrently,
    AddTrigger,
    RemoveIndexConcurrently,
    RemoveTrigger,
    ValidateConstraint,
    migrations.AlterModelManagers,
    migrations.AlterModelOptions,
    CREATE,
    migrations.RemoveConstraint,
    migrations.RunPython,
    migrations.RunSQL,
)


def objection(operation: Operation, app: str, before: ProjectState, made: set[str]) -> str | None:
    """Why it does not go beside the version before; `made` are models of the same migration."""
    if isinstance(operation, HARMLESS) or getattr(operation, "model_name_lower", None) in made:
        return None
    match operation:
        case migrations.AddField(field=field):
            is_filled = field.null or field.db_default is not NOT_PROVIDED or field.many_to_many
            return None if is_filled else "rows that old code writes would lack a value"
        case migrations.AlterField():
            return None if takes_as_much(operation, app, before) else "old code would be refused"
        case migrations.AddIndex() | migrations.AddConstraint():
            return "the table is held as long as it is read"
    return "old code would miss it"


def takes_as_much(operation: migrations.AlterField, app: str, before: ProjectState) -> bool:
    """Whether every value of before may still be written, and no row has to be rewritten."""
    after = before.clone()
    operation.state_forwards(app, after)
    old, new = (
        state.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
        for state in (before, after)
    )
    return is_as_wide(old, new) and (new.null or not old.null)


def is_as_wide(old: models.Field, new: models.Field) -> bool:
    """The same type, or a text that may be longer: PostgreSQL keeps such rows as they are."""
    if isinstance(old, models.CharField) and isinstance(new, models.CharField | models.TextField):
        return not new.max_length or bool(old.max_length and old.max_length <= new.max_length)
    return bool(old.db_type(connection) == new.db_type(connection))


def new_operations() -> Iterator[tuple[str, str, Operation, ProjectState, set[str]]]:
    """Those since the rule, each with the state before it and the models its migration makes."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app not in BEFORE or int(name[:4]) <= BEFORE[app] or (app, name) in CONTRACTS:
            continue
        state = loader.project_state((app, name), at_end=False)
        creates = [each for each in migration.operations if isinstance(each, CREATE)]
        for operation in migration.operations:
            yield app, name, operation, state, {each.name_lower for each in creates}
            operation.state_forwards(app, state)


def test_migrations_go_beside_the_version_before() -> None:
    told = {
        f"{app}.{name}: {operation.describe()}": why
        for app, name, operation, state, made in new_operations()
        if (why := objection(operation, app, state, made))
    }

    assert not told


def changed(name: str, field: models.Field) -> Operation:
    return migrations.AlterField("alias", name, field)


INDEX = models.Index(fields=["note"], name="x")
CASES = [
    (migrations.AddField("alias", "new", models.TextField(null=True)), None),
    (migrations.AddField("alias", "new", models.TextField(db_default="")), None),
    (migrations.AddField("alias", "new", models.TextField(default="")), "lack a value"),
    (migrations.AddField("fresh", "new", models.TextField(default="")), None),
    (changed("note", models.CharField(max_length=9, help_text="x")), None),
    (changed("note", models.CharField(max_length=8)), "be refused"),
    (changed("note", models.CharField(max_length=10)), None),
    (changed("note", models.TextField()), None),
    (changed("note", models.IntegerField()), "be refused"),
    (changed("empty", models.TextField()), "be refused"),
    (changed("note", models.CharField(max_length=9, null=True)), None),
    (migrations.AddIndex("alias", INDEX), "is held"),
    (AddIndexConcurrently("alias", INDEX), None),
    (migrations.AddConstraint("alias", models.UniqueConstraint(fields=["note"], name="x")), "held"),
    (migrations.RemoveField("alias", "note"), "would miss it"),
    (migrations.RenameField("alias", "note", "text"), "would miss it"),
    (migrations.DeleteModel("alias"), "would miss it"),
]


@pytest.mark.parametrize(("operation", "why"), CASES)
def test_operation_is_judged(operation: Operation, why: str | None) -> None:
    fields = [("note", models.CharField(max_length=9)), ("empty", models.TextField(null=True))]
    before = ProjectState()
    CREATE("Alias", fields).state_forwards("tenants", before)

    told = objection(operation, "tenants", before, {"fresh"})

    assert (why is None and told is None) or (why is not None and why in (told or ""))
