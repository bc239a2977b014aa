"""The commands: a dry run unless asked, the same code and the same sentences as the panel."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tenants.models import Alias, Export
from tests import world as make
from tests.world import World

TEXT = "address,targets\nx@a.example,inbox\ny@a.example,fax\n"


def run(*arguments: object) -> str:
    out = StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "addresses.csv"
    path.write_text(TEXT)
    return path


def test_an_import_says_what_it_would_do_and_does_nothing(world: World, file: Path) -> None:
    told = run("import_addresses", file, "--tenant", "a")

    assert told.splitlines() == [
        "row 2 x@a.example: new: targets: - → inbox",
        (
            "row 3 y@a.example: refused: targets: “fax” is no target: write mailbox "
            "name@example.com, forward name@example.com, inbox or discard."
        ),
        "2 rows: 1 good, 0 unchanged, 1 refused.",
        "Nothing was changed: --take-good takes the good rows.",
    ]
    assert not Alias.objects.exists()


def test_an_import_takes_the_good_rows_where_asked(world: World, file: Path) -> None:
    told = run("import_addresses", file, "--tenant", "a", "--take-good", "--reason", "ticket 7")

    assert told.splitlines()[-1] == "Taken: 1. Refused: 1."
    assert Alias.objects.get().key == "x@a.example"


def test_an_export_is_imported_as_unchanged(world: World, tmp_path: Path) -> None:
    make.make_alias(world.domain, "x", note="=1+1")
    for written in ("csv", "json"):
        path = tmp_path / f"rows.{written}"
        path.write_bytes(run("export_addresses", "--tenant", "a", "--format", written).encode())

        told = run("import_addresses", path, "--tenant", "a")

        assert told.splitlines() == ["2 rows: 0 good, 2 unchanged, 0 refused."]
    assert list(Export.objects.values_list("actor_name", "rows")) == [("export_addresses", 2)] * 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tenant", "z"], "no tenant with the external id 'z'"),
        (["--format", "recipients"], "Say at which next hop"),
        (["--max-rows", "1"], "more than 1 rows"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    world: World, file: Path, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("import_addresses", file, *arguments)
