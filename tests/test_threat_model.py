"""The threat model names tests that exist."""

import re

import pytest

from mailrouting.embedded import REPOSITORY

TEXT = (REPOSITORY / "docs" / "threat-model.md").read_text()
TESTS = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", TEXT)))
FILES = sorted(set(re.findall(r"`([\w/]+\.py)(?:::\w+)?`", TEXT)))


@pytest.mark.parametrize("path", FILES)
def test_file_that_is_named_exists(path: str) -> None:
    assert (REPOSITORY / "tests" / path).is_file()


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_test_that_is_named_exists(path: str, name: str) -> None:
    written = (REPOSITORY / "tests" / path).read_text()
    assert re.search(rf"^(?:async )?def {name}\(", written, re.MULTILINE)


def test_tests_are_named() -> None:
    assert len(TESTS) > 50
