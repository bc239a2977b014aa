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
    f"{prefix}{name}"
    for prefix in ("", "a")
    for name in (
        "save", "delete", "create", "get_or_create", "update_or_create",
        "bulk_create", "bulk_update",
    )
}  # fmt: skip
UPDATES = {"update", "aupdate"}
# Receivers of these calls write no row.
NOT_ROWS = {"changes", "super()", "storage", "formset", "self.__dict__"}
# Who writes rows beside tenants/changes.py: what of, and why that may be.
WRITERS = {
    "tenants/changes.py": "the one write path of the control plane",
    "tenants/jobs/ledger.py": "jobs record who wrote what; nothing is routed by them",
    "tenants/jobs/erasing.py": "a job forgets whom it erased, as the last step of its own",
    "tenants/imports/exporting.py": "exports record who took what away",
    "gateway/erasure.py": "an erasure lifts the guards of the history; its job records it",
    "mailrouting/staff.py": "Django's own users and groups, in changes.attributed()",
    "mailrouting/management/commands/bootstrap.py": "the first user, before anybody signs in",
    "mailrouting/sign_in_secrets.py": "secrets of sign-in, sealed anew: they stay what they are",
    "gateway/bodies.py": "who read a body",
    "gateway/concerns.py": "which addresses a delivery names",
    "gateway/delivery/actions.py": "deliveries, with an intervention for each",
    "gateway/delivery/rerouting.py": "deliveries, with an intervention for each",
    "gateway/retention.py": "old mail and its records go",
    "gateway/use.py": "how far addresses' use is counted",
    "gateway/watch/": "readings, alarms and notices; what routes mail goes by changes there too",
}
# Those of them that import rows of the control plane to write them past it.
WRITE_CONTROL_PLANE = {
    "tenants/changes.py", "tenants/jobs/ledger.py", "tenants/jobs/erasing.py",
    "tenants/imports/exporting.py", "gateway/erasure.py",
}  # fmt: skip
REGEX = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
# Patterns put together while the program runs; of each: of what.
PATTERNS_MADE = {
    "gateway/erasure.py": "an address, escaped",
    "gateway/inspection/claims.py": "a name that is a constant of its callers",
    "gateway/reading/mime.py": "a boundary, escaped the line before",
    "tenants/imports/postfix_maps.py": "a separator that is a constant of its callers",
    "tenants/moving_in/dump/lexer.py": "constants of the file",
}
# Statements of ours that name their table at run time, or write it past the ORM; of each: why.
STATEMENTS = {
    "gateway/erasure.py": "an erasure writes whatever names somebody",
    "gateway/watch/places.py": "a migration and a change of keys seal addresses anew",
    "tenants/jobs/ledger.py": "items of a job, taken from the rows of a filter",
    "tenants/loading.py": "loads in attributed chunks",
}
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


def writes() -> Iterator[tuple[str, str]]:
    """Each call that may write a row, with its place and receiver.

    A queryset's update() takes keywords alone; that of a dict, a set or a hash takes a value.
    """
    for place, node in nodes(ast.Call):
        if not isinstance(node.func, ast.Attribute):
            continue
        is_update = node.func.attr in UPDATES and node.keywords and not node.args
        receiver = ast.unparse(node.func.value)
        if (node.func.attr in WRITES or is_update) and receiver not in NOT_ROWS:
            yield place, receiver


def test_rows_are_written_by_changes_and_by_few_others_with_a_reason():
    for place, receiver in writes():
        assert place.startswith(tuple(WRITERS)), f"{place}: {receiver} is written past changes"


def test_who_may_write_rows_does():
    places = [place for place, _ in writes()]
    idle = [name for name in WRITERS if not any(place.startswith(name) for place in places)]
    assert idle == []


def test_only_changes_writes_rows_of_the_control_plane():
    for place, receiver in writes():
        name = place.partition(":")[0]
        if name not in WRITE_CONTROL_PLANE:
            assert receiver.partition(".")[0] not in control_plane_names(name), place


def control_plane_names(name: str) -> set[str]:
    """The models of tenants/ that a file imports."""
    return {
        alias.asname or alias.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tenants.models")
        for alias in node.names
    }


def test_no_other_statement_writes_rows_of_the_control_plane():
    writing = re.compile(
        r"\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|COPY)\s+(?:tenants_|auth_|\{)", re.IGNORECASE
    )
    for place, node in nodes(ast.Constant):
        if isinstance(node.value, str) and writing.search(node.value):
            assert place.startswith(tuple(STATEMENTS)), place


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
    """What `re` is given is written in the source; a pattern of somebody else's may never end."""
    for place, node in nodes(ast.Call):
        made = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re"
        if made and node.func.attr in REGEX and not place.startswith(tuple(PATTERNS_MADE)):
            assert is_ours(node.args[0]), f"{place}: {ast.unparse(node.args[0])}"


def is_ours(pattern: ast.expr) -> bool:
    """Whether a pattern is put together from texts of the source and from what is escaped."""
    match pattern:
        case ast.Constant() | ast.Call(ast.Attribute(ast.Name("re"), "escape")):
            return True
        case ast.Name(name) | ast.Attribute(attr=name):
            return name.isupper()
        case ast.JoinedStr(parts):
            pass
        case ast.FormattedValue(value):
            parts = [value]
        case ast.BinOp(left, _, right):
            parts = [left, right]
        case ast.Call(ast.Attribute(text, "format"), arguments, keywords):
            parts = [text, *arguments, *(each.value for each in keywords)]
        case _:
            return False
    return all(map(is_ours, parts))


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
