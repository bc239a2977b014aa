"""`manage.py move_in` and `manage.py shadow`, as an operator types them."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tenants.models import Alias, Source
from tests.tenants.moving_in import installations
from tests.tenants.moving_in.test_moving_in import make_source, move_in, verify
from tests.world import World, make_hop


@pytest.fixture
def dump(tmp_path: Path) -> str:
    path = tmp_path / "modoboa.sql"
    path.write_text(installations.modoboa())
    return str(path)


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def shadow(*words: str) -> tuple[int, str]:
    """Exit code and report."""
    out = io.StringIO()
    try:
        call_command("shadow", *words, stdout=out, stderr=io.StringIO())
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue()
    return 0, out.getvalue()


def test_move_in_shows_a_plan_and_then_takes_it_over(world: World, dump: str) -> None:
    make_hop(name="store")
    words = ("move_in", "modoboa", dump, "--tenant", "a", "--next-hop", "store")

    planned = run(*words)
    assert not Alias.objects.exists()
    applied = run(*words, "--apply")

    assert "Read Modoboa (modoboa.sql): 2 domains, 2 mailboxes" in planned
    assert "12 rows would be new or changed, 0 are so already, 1 would be refused:" in planned
    assert "  domain passed.example, all recipients: It relays whatever" in planned
    assert "Nothing was changed." in planned
    assert "12 rows are new or changed" in applied
    assert Alias.objects.filter(key="snakes@python.example").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--tenant", "nobody", "--next-hop", "store"), "There is no tenant “nobody”"),
        (("--tenant", "a", "--next-hop", "nowhere"), "There is no next hop “nowhere”"),
    ],
)
def test_move_in_names_what_is_missing(
    world: World, dump: str, words: tuple[str, ...], sentence: str
) -> None:
    make_hop(name="store")
    with pytest.raises(CommandError, match=sentence):
        run("move_in", "modoboa", dump, *words)
    with pytest.raises(CommandError, match="No such file"):
        run("move_in", "modoboa", "/nowhere.sql", "--tenant", "a", "--next-hop", "store")


def test_shadow_tells_by_its_exit_code(world: World, tmp_path: Path) -> None:
    source = make_source(world, "modoboa")
    log = tmp_path / "mail.log"
    log.write_text("mx postfix/lmtp[2]: 4ABC: to=<kaa@boa.example>, relay=x, status=sent (ok)\n")
    asked = ("--source", str(source.pk), "--recipients", str(log))

    before = shadow(*asked)
    move_in(source)
    verify(world.a)
    alike, whole = shadow(*asked), shadow("--source", str(source.pk))

    assert before[0] == 1
    assert "boa.example: not verified here yet, 1 of its recipients were not compared" in before[1]
    assert alike == (0, "No difference: 1 recipients are treated alike.\n")
    assert whole[0] == 1
    assert "nag@python.example: bounces there\n    there: catch-all @python.example" in whole[1]
    assert "3 of 15 recipients are treated differently:" in whole[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--source", "4711"), "There is no source 4711; there are: none."),
        (("--live", "/nowhere"), "Say whom to ask about"),
        (("--live", "/nowhere", "--recipients", "/nowhere"), "No such file"),
    ],
)
def test_shadow_tells_trouble_apart(db: None, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as raised:
        call_command("shadow", *words)
    assert raised.value.returncode == 2
    assert not Source.objects.exists()
