"""The README and the guides in docs/ are true: replies, paths, settings, metrics, dependencies.

Read from the files themselves; nothing runs.
"""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from gateway.routing import replies
from gateway.routing.replies import Reply
from tests.e2e.screens import SCREENS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
GUIDES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
SETTING = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`")
METRIC = re.compile(r"`(mailrouting_\w+?)(?:\{[^`]*)?`")
# Made by the browser test, so a checkout may lack them.
GENERATED = "docs/screenshots/"
# What every app has, and what needs no line of its own.
SELF_EVIDENT = {
    "__init__.py", "admin.py", "apps.py", "asgi.py", "wsgi.py", "environment.py", "formats",
    "management", "migrations",
}  # fmt: skip


def section(title: str) -> str:
    """The text below one heading of the README, up to the next of its rank."""
    rank, _, _ = title.partition(" ")
    after = README.split(f"\n{title}\n", 1)[1]
    return re.split(rf"\n#{{1,{len(rank)}}} ", after, maxsplit=1)[0]


def rows_of(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def mapped_paths() -> Iterator[str]:
    """Every path that the map names; a file in a description lies in its line's folder."""
    folders = [""]
    for line in filter(str.strip, section("## Map").split("```")[1].splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names, *text = re.split(r" {2,}", line.strip(), maxsplit=1)
        parent = folders[depth]
        yield from (parent + name for name in names.split())
        folder = parent + names if names.endswith("/") else parent
        folders[depth + 1 :] = [folder]
        yield from (folder + name for name in re.findall(r"\b\w+\.py\b", " ".join(text)))


def listed_settings() -> set[str]:
    listed = re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return set(listed)


def counted_metrics() -> set[str]:
    sources = [
        ROOT / "gateway/metrics.py",
        ROOT / "gateway/delivery/metrics.py",
        ROOT / "gateway/watch/metrics.py",
    ]
    return {
        name for path in sources for name in re.findall(r'"(mailrouting_\w+)"', path.read_text())
    }


def test_replies_are_the_catalogue() -> None:
    catalogue = [value for value in vars(replies).values() if isinstance(value, Reply)]
    made = [replies.queued("…"), replies.repeated("…")]
    known = sorted((reply.reason, str(reply)) for reply in [*catalogue, *made])

    told = sorted((row[0].strip("`"), unescape(row[1])) for row in rows_of(section("### Replies")))

    assert told == known


def test_every_path_of_the_map_exists() -> None:
    paths = list(mapped_paths())

    assert len(paths) > 60
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_app_file_of_a_mapped_folder_is_on_the_map() -> None:
    mapped = {path.rstrip("/") for path in mapped_paths()}
    for app in ("gateway", "mailrouting", "tenants"):
        for path in (ROOT / app).iterdir():
            name = path.relative_to(ROOT).as_posix()
            is_code = path.suffix == ".py" or (path / "__init__.py").exists()
            assert not is_code or name in mapped or path.name in SELF_EVIDENT, name


def test_every_dependency_is_told_with_its_reason() -> None:
    declared = re.findall(r"^([\w-]+)", (ROOT / "requirements/base.in").read_text(), re.MULTILINE)

    told = rows_of(section("## Dependencies"))

    assert sorted(row[0] for row in told) == sorted(declared)
    assert all(row[1] for row in told)


@pytest.mark.parametrize("guide", sorted(GUIDES))
def test_every_setting_that_is_named_exists(guide: str) -> None:
    named = set(SETTING.findall(GUIDES[guide]))

    assert named <= listed_settings()


@pytest.mark.parametrize("guide", sorted(GUIDES))
def test_every_metric_that_is_named_exists(guide: str) -> None:
    known = {
        name + suffix for name in counted_metrics() for suffix in ("", "_bucket", "_count", "_sum")
    }

    assert set(METRIC.findall(GUIDES[guide])) <= known


def test_screens_shows_every_main_page_in_both_themes() -> None:
    shown = re.findall(r"\(screenshots/(light|dark)/([\w-]+)\.png\)", GUIDES["docs/screens.md"])

    assert shown == [(theme, screen.name) for screen in SCREENS for theme in ("light", "dark")]


@pytest.mark.parametrize("guide", sorted(GUIDES))
def test_every_link_leads_somewhere(guide: str) -> None:
    folder = (ROOT / guide).parent
    for target in re.findall(r"\]\(([^)#]+)", GUIDES[guide]):
        if "://" in target or GENERATED in (folder / target).as_posix():
            continue
        assert (folder / target).exists(), target
