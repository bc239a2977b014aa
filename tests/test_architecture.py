"""The shape of the code: who imports whom, one write path, two outer shells, no signals.

Import-linter's contracts stand in pyproject.toml; what they cannot say is read from the syntax
trees here.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports
from importlinter.configuration import configure

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "mailrouting", "tenants")
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in SOURCES}

PURE_PARTIES = {"gateway", "idna", "msgspec", "re2"}
WRITES = {
    "save", "delete", "create", "get_or_create", "update_or_create",
    "bulk_create", "bulk_update", "asave", "adelete", "acreate",
}  # fmt: skip
# Receivers of these calls write no row of the control plane.
WRITERS = (
    "tenants/changes.py",
    "tenants/jobs/ledger.py",  # jobs record who wrote what; nothing is routed by them
    "tenants/imports/exporting.py",  # exports record who took what away
)
NOT_ROWS = {"changes", "super()", "storage", "formset"}
OUTER_SHELLS = {
    "gateway/smtpd": "an SMTP session answers 451 whatever happens",
    "gateway/delivery": "a worker's loop outlives any one delivery",
    "gateway/pending.py": "an error on its way to the session is carried there",
    "gateway/batching.py": "who waits for one result keeps no others waiting",
    "gateway/bell.py": "a thread that rings outlives any one bell; the sweep finds the work",
    "gateway/watch/heart.py": "a thread has to say again that its process lives",
    "tenants/checking.py": "an error in one domain is in no other's way",
    "tenants/dns/observe.py": "an error with one record is an answer that is not known",
}


def nodes(kind: type, folder: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind in the sources below a folder, with `file:line`."""
    for name, tree in TREES.items():
        if name.startswith(folder):
            for node in ast.walk(tree):
                if isinstance(node, kind):
                    yield f"{name}:{node.lineno}", node


def test_layers_and_borders_hold(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    # Its own would switch off every logger of the process, for the tests after this one too.
    monkeypatch.setattr("importlinter.cli._configure_logging", lambda verbose: None)
    configure()

    failed = lint_imports(no_cache=True)

    assert failed == 0, capsys.readouterr().out


def test_the_pure_core_imports_the_standard_library_and_two_tables():
    for place, node in nodes((ast.Import, ast.ImportFrom), "gateway/routing/"):
        names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        for name in names:
            party = name.partition(".")[0]
            assert party in sys.stdlib_module_names | PURE_PARTIES, place
            assert party != "gateway" or name.startswith("gateway.routing"), place


def test_the_pure_core_reads_no_clock_and_rolls_no_dice():
    clocks = {"now", "today", "utcnow", "time", "monotonic", "random", "token_urlsafe"}
    for place, node in nodes(ast.Call, "gateway/routing/"):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        assert called not in clocks, place


def test_only_changes_writes_rows_of_the_control_plane():
    for place, node in nodes(ast.Call, "tenants/"):
        if place.startswith(WRITERS) or not isinstance(node.func, ast.Attribute):
            continue
        receiver = ast.unparse(node.func.value)
        if node.func.attr in WRITES:
            assert receiver in NOT_ROWS, f"{place}: {receiver}.{node.func.attr}() goes by changes"


def test_only_the_outer_shells_catch_everything():
    for place, node in nodes(ast.ExceptHandler):
        caught = ast.unparse(node.type) if node.type else "everything"
        last = node.body[-1]
        passes_on = isinstance(last, ast.Raise) and last.exc is None  # tidied up, not caught
        if caught in {"Exception", "BaseException", "everything"} and not passes_on:
            assert place.startswith(tuple(OUTER_SHELLS)), place


def test_nothing_listens_to_django_s_signals():
    for place, node in nodes((ast.Import, ast.ImportFrom)):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names]
        assert not any(
            name.startswith(("django.dispatch", "django.db.models.signals", "django.core.signals"))
            for name in modules
        ), place


def test_no_model_has_logic_in_save_or_delete():
    for place, node in nodes(ast.ClassDef):
        methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        if "/models" in place:
            assert methods.isdisjoint({"save", "delete"}), place


def test_a_vocabulary_is_written_once():
    words = {}
    for place, node in nodes(ast.ClassDef):
        if "StrEnum" in map(ast.unparse, node.bases):
            values = frozenset(
                ast.unparse(item.value) for item in node.body if isinstance(item, ast.Assign)
            )
            assert values not in words, f"{place}: {node.name} says what {words[values]} says"
            words[values] = place


def test_no_group_of_a_pattern_is_possessive():
    """Those match wrongly before Python 3.11.5, which we support (CPython issue 106052)."""
    for place, node in nodes(ast.Constant):
        text = node.value.decode("latin-1") if isinstance(node.value, bytes) else str(node.value)
        assert not re.search(r"(?<!\\)\)[*+?]\+", text), place


def test_tenants_patterns_never_reach_re():
    for place, node in nodes(ast.Attribute, "gateway/routing/policy.py"):
        assert not (isinstance(node.value, ast.Name) and node.value.id == "re"), place


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_file_opens_with_its_rule_and_holds_one_idea(name):
    tree = TREES[name]
    if not tree.body:
        return
    lines = len((ROOT / name).read_text().splitlines())

    assert ast.get_docstring(tree), f"{name} opens with the rule of the file"
    assert lines <= 500, f"{name} has {lines} lines: make it a folder of the same name"


def test_scripts_of_a_page_share_no_name() -> None:
    """They share one scope: of two that define the same name, the browser runs only the first."""
    scripts = [path for package in PACKAGES for path in (ROOT / package).rglob("static/**/*.js")]
    defined = r"^(?:const|let|var|class|(?:async )?function) (\w+)"
    names = [
        name for path in scripts for name in re.findall(defined, path.read_text(), re.MULTILINE)
    ]
    assert names
    assert sorted(names) == sorted(set(names))
