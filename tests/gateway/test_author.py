"""The one author of a message, and no guess where two readers could see two."""

import pytest

from gateway.inspection.author import LONGEST_OCTETS, author_of
from gateway.inspection.dkim.canonical import split_fields


@pytest.mark.parametrize(
    ("header", "author"),
    [
        ("From: ann@a.example", "ann@a.example"),
        ("From: Ann <ann@a.example>", "ann@a.example"),
        ("FROM : <ann@A.Example>", "ann@a.example"),
        ('From: "Ann, of A" <ann@a.example>', "ann@a.example"),
        ('From: "ann@b.example" <ann@a.example>', "ann@a.example"),
        ("From: Ann (at (work)) <ann@a.example> (x)", "ann@a.example"),
        ("From: ann@a.example (comment, with a comma)", "ann@a.example"),
        ("From:\r\n Ann\r\n <ann@a.example>", "ann@a.example"),
        ("From: =?utf-8?q?=C3=84nn?= <ann@a.example>", "ann@a.example"),
        ("From: Ann <ann@bücher.example>", "ann@xn--bcher-kva.example"),
        ("From: ann@a.example, Bob <bob@a.example>", "ann@a.example"),
        ("From: ann@a.example, bob@b.example", None),
        ("From: ann@a.example\r\nFrom: ann@a.example", None),
        ("From: ann@b.example <ann@a.example>", None),
        ("From: <ann@b.example> <ann@a.example>", None),
        ("From: Ann <ann@a.example> bob@b.example", None),
        ("From: friends: ann@a.example;", None),
        ('From: Ann" <ann@a.example>', "ann@a.example"),
        ('From: "a" <ann@a.example>, "b <bob@a.example>', "ann@a.example"),
        ('From: " ann@b.example <ann@a.example>', None),
        ("From: Ann (never ends <ann@a.example>", None),
        ("From: Ann", None),
        ("From:", None),
        ("Sender: ann@a.example", None),
    ],
)
def test_author_is_the_one_address_of_from(header: str, author: str | None) -> None:
    found = author_of(split_fields(header.encode()))
    assert (found and str(found)) == author


@pytest.mark.parametrize(
    ("size", "is_found"), [(LONGEST_OCTETS, True), (LONGEST_OCTETS + 1, False)]
)
def test_endless_field_names_nobody(size: int, is_found: bool) -> None:
    found = author_of([(b"From", b"ann@a.example".rjust(size))])
    assert (found is not None) is is_found


def test_octets_that_are_no_text_name_nobody() -> None:
    assert author_of([(b"From", b" \xff@a.example")]) is None
