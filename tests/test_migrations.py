"""What a new database is made by in one step is what older ones came to step by step."""

import pytest
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState


@pytest.fixture(scope="module")
def migrations() -> MigrationLoader:
    """All files, those that replace others beside what they replace."""
    loader = MigrationLoader(None, replace_migrations=False)
    for key, migration in loader.disk_migrations.items():
        if migration.replaces:
            loader.replacements[key] = migration
    return loader


@pytest.mark.parametrize("app", ["tenants", "gateway", "watch"])
def test_squashed_migration_makes_the_models_of_those_it_replaces(
    migrations: MigrationLoader, app: str
) -> None:
    [squashed] = [key for key in migrations.replacements if key[0] == app]
    replaced = migrations.replacements[squashed].replaces
    made, were = (_models_after(migrations, key) for key in (squashed, replaced[-1]))
    assert made == were


@pytest.mark.parametrize("app", ["tenants", "gateway", "watch"])
def test_squashed_migration_replaces_every_one_up_to_its_last(
    migrations: MigrationLoader, app: str
) -> None:
    [squashed] = [key for key in migrations.replacements if key[0] == app]
    replaced = migrations.replacements[squashed].replaces
    last = migrations.graph.forwards_plan(replaced[-1])
    assert replaced == [key for key in last if key[0] == app]


def _models_after(migrations: MigrationLoader, key: tuple[str, str]) -> dict[str, object]:
    state = migrations.project_state(key)
    return {name: _told(model) for (app, name), model in state.models.items() if app == key[0]}


def _told(model: ModelState) -> object:
    """All of it as plain values; fields are in the order of the table's columns."""
    detector = MigrationAutodetector(ProjectState(), ProjectState())
    fields = [(name, detector.deep_deconstruct(field)) for name, field in model.fields.items()]
    return fields, model.options, model.bases, model.managers
