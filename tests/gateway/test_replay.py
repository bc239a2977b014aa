"""A replay beside what was said then: which points and steps differ, and nothing else."""

import pytest

from gateway.replay import Told, compare
from gateway.routing.decision import Step

DOMAIN, HIT, GONE = Step("domain", "hit"), Step("alias", "hit", "x"), Step("alias", "no match", "x")
THEN = Told("250 2.1.5 Ok", "alias x", "alias", "", ("inbox",), (DOMAIN, HIT))


def now(**changes: object) -> Told:
    fields = {name: getattr(THEN, name) for name in THEN.__dataclass_fields__}
    return Told(**fields | changes)


def test_the_same_answer_differs_in_nothing() -> None:
    comparison = compare(THEN, now())
    assert comparison.is_same
    assert [line.is_different for line in comparison.lines] == [False, False]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"reply": "550 5.1.1 No"}, "Reply"),
        ({"rule": "role x"}, "Decided by"),
        ({"strategy": "role"}, "Strategy"),
        ({"detail": "news"}, "Detail"),
        ({"destinations": ("discard",)}, "Destinations"),
        ({"destinations": ()}, "Destinations"),
    ],
)
def test_what_differs_is_marked(changes: dict[str, object], label: str) -> None:
    comparison = compare(THEN, now(**changes))
    assert [point.label for point in comparison.points if point.is_different] == [label]
    assert not comparison.is_same


def test_steps_that_are_new_or_gone_stand_in_their_place() -> None:
    lines = compare(THEN, now(steps=(DOMAIN, GONE, Step("unknown", "refused")))).lines
    assert [(line.then, line.now) for line in lines] == [
        (DOMAIN, DOMAIN),
        (HIT, None),
        (None, GONE),
        (None, Step("unknown", "refused")),
    ]


def test_the_order_of_places_is_no_difference() -> None:
    then = now(destinations=("inbox", "forward a@b.example"))
    assert compare(then, now(destinations=("forward a@b.example", "inbox"))).is_same


def test_a_recipient_that_was_not_stored_has_no_places_to_compare() -> None:
    then = now(destinations=())
    labels = [point.label for point in compare(then, now()).points]
    assert "Destinations" not in labels
