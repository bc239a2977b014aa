"""The order of rows, repetitions, and what a row would change."""

import pytest

from tenants.imports.diff import Difference, compare, is_unchanged
from tenants.imports.plan import plan
from tenants.imports.rows import Kind, Refusal, Refused, Row, make_row


def row(number: int, kind: Kind, name: str, tenant: str = "", **cells: object) -> Row:
    named = {"address": name} if kind.group == "address" or kind == Kind.MAILBOX else {}
    named |= {"domain": name} if kind == Kind.DOMAIN else {}
    named |= {"name": name} if kind == Kind.HOP else {}
    return make_row(number, kind, named | cells, tenant=tenant)


def names(rows: list[Row | Refused]) -> list[str]:
    return [each.name for each in rows]


def test_rows_come_after_what_they_need() -> None:
    rows = [
        row(1, Kind.ALIAS, "a@a.example", targets=["forward b@a.example"]),
        row(2, Kind.ROLE, "b@a.example", targets=["c@a.example"]),
        row(3, Kind.ALIAS, "c@a.example", targets=["mailbox box@a.example"]),
        row(4, Kind.DOMAIN, "a.example"),
        row(5, Kind.MAILBOX, "box@a.example", next_hop="store"),
        row(6, Kind.HOP, "store", host="mail.example"),
    ]

    assert names(plan(rows)) == [
        "store", "box@a.example", "a.example", "c@a.example", "b@a.example", "a@a.example"
    ]  # fmt: skip


def test_a_rule_s_targets_are_needed_too() -> None:
    rows = [
        row(1, Kind.ALIAS, "a@a.example", rules="x: forward b@a.example"),
        row(2, Kind.ALIAS, "b@a.example"),
    ]

    assert names(plan(rows)) == ["b@a.example", "a@a.example"]


def test_a_circle_keeps_its_order_and_delays_nothing_else() -> None:
    rows = [
        row(1, Kind.ALIAS, "a@a.example", targets=["forward b@a.example"]),
        row(2, Kind.ALIAS, "b@a.example", targets=["forward a@a.example"]),
        row(3, Kind.ALIAS, "c@a.example", targets=["forward d@a.example"]),
        row(4, Kind.ALIAS, "d@a.example"),
    ]

    assert names(plan(rows)) == ["d@a.example", "c@a.example", "a@a.example", "b@a.example"]


def test_of_two_rows_about_one_thing_the_first_stands() -> None:
    rows = [
        row(1, Kind.ALIAS, "a@a.example"),
        row(2, Kind.ROLE, "A@A.example"),
        row(3, Kind.ALIAS, "a@a.example", tenant="b"),
        row(4, Kind.MAILBOX, "a@a.example"),
    ]

    *kept, refused = plan(rows)

    assert [each.number for each in kept] == [4, 1, 3]
    sentence = "Row 1 is about A@a.example already: leave one of them out."
    assert refused == Refused(2, (Refusal("", sentence),), "A@a.example")


BEFORE = {"targets": ("mailbox b@a.example", "inbox"), "enabled": True, "note": ""}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, True),
        ({"enabled": "yes"}, True),
        ({"enabled": "no"}, False),
        ({"targets": "b@a.example, inbox"}, True),
        ({"targets": "inbox, b@a.example"}, False),
        ({"targets": "forward b@a.example, inbox"}, False),
        ({"note": ""}, True),
        ({"note": "new"}, False),
    ],
)
def test_a_row_is_unchanged_where_all_it_gives_is_there(
    cells: dict[str, object], expected: bool
) -> None:
    assert is_unchanged(row(1, Kind.ALIAS, "a@a.example", **cells), BEFORE) is expected


def test_differences_are_told_as_cells_show_them() -> None:
    after = BEFORE | {"enabled": False, "targets": ("inbox",)}
    given = row(1, Kind.ALIAS, "a@a.example", targets="inbox")

    assert compare(given, BEFORE, after) == (
        Difference("targets", "mailbox b@a.example, inbox", "inbox"),
        Difference("enabled", "yes", "no"),
    )


def test_of_a_new_row_what_it_gives_is_told() -> None:
    given = row(1, Kind.ALIAS, "a@a.example", targets="inbox", note="")

    assert compare(given, None, BEFORE) == (
        Difference("targets", "", "mailbox b@a.example, inbox"),
    )
