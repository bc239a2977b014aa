"""The graph of targets: what resolve() followed, as a tree, and the places of its boxes."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.explain import explain
from gateway.graph import Node, State, grow, place
from gateway.graph.layout import GAP, HEIGHT, LONGEST, WIDTH, shorten
from tenants.models import Address, Target
from tests import world as make
from tests.world import World, make_world


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def tree(recipient: str) -> Node:
    explanation = explain(recipient, "anna@far.example", None)
    assert explanation.decision is not None
    assert explanation.facts is not None
    return grow(recipient, explanation.decision, explanation.facts)


def told(node: Node) -> Any:
    """The tree as nested pairs of title and state."""
    return (node.title, str(node.state), *map(told, node.children))


# --- what was followed


def test_forwards_are_followed_to_their_ends(world: World) -> None:
    mailbox = make.make_mailbox(world.a, "jo@store.example")
    jo = make.make_alias(world.domain, "jo", make.to_mailbox(mailbox))
    sales = make.make_alias(
        world.domain, "sales", make.to_forward("jo@a.example"), make.to_forward("x@far.example")
    )
    root = tree("sales@a.example")
    assert told(root) == (
        "sales@a.example",
        "taken",
        (
            "alias sales@a.example",
            "taken",
            ("jo@a.example", "taken", ("jo@store.example", "taken")),
            ("x@far.example", "taken"),
        ),
    )
    rows = {node.title: node.row.pk for node in root.walk() if node.row}
    assert rows == {
        "alias sales@a.example": sales.pk,
        "jo@a.example": jo.pk,
        "jo@store.example": mailbox.pk,
    }
    (end,) = (node for node in root.walk() if node.kind == "mailbox")
    assert end.hop is not None
    assert (end.hop.pk, end.via) == (mailbox.next_hop_id, "smtp:127.0.0.1:2525")


def test_a_loop_is_cut_where_it_closes(world: World) -> None:
    make.make_alias(world.domain, "a", make.to_inbox())
    make.make_alias(world.domain, "b", make.to_forward("a@a.example"))
    key = "b@a.example"
    inbox = Target.objects.filter(address__key="a@a.example")
    inbox.update(kind="forward", forward_to=key, forward_key=key)
    assert told(tree("a@a.example")) == (
        "a@a.example",
        "refused",
        ("alias a@a.example", "refused", ("b@a.example", "refused", ("a@a.example", "cut"))),
    )


def test_a_branch_that_is_refused_says_why(world: World) -> None:
    make.make_alias(world.domain, "off", make.to_inbox())
    make.make_alias(world.domain, "x", make.to_inbox(), make.to_forward("off@a.example"))
    Address.objects.filter(key="off@a.example").update(enabled=False)
    refused = tree("x@a.example").children[0].children[1]
    assert (refused.state, refused.note) == (State.REFUSED, "550 5.2.1 Address is disabled")


def test_an_address_that_comes_again_is_opened_once(world: World) -> None:
    make.make_alias(world.domain, "jo", make.to_inbox())
    make.make_alias(world.domain, "one", make.to_forward("jo@a.example"))
    make.make_alias(world.domain, "two", make.to_forward("jo@a.example"))
    make.make_alias(
        world.domain, "all", make.to_forward("one@a.example"), make.to_forward("two@a.example")
    )
    nodes = [node for node in tree("all@a.example").walk() if node.title == "jo@a.example"]
    assert [node.state for node in nodes] == [State.TAKEN, State.REPEATED]
    assert nodes[1].children == ()


def test_a_disabled_address_shows_where_it_would_go(world: World) -> None:
    make.make_alias(world.domain, "off", make.to_forward("x@far.example"), enabled=False)
    assert told(tree("off@a.example")) == (
        "off@a.example",
        "refused",
        ("alias off@a.example", "refused", ("x@far.example", "not reached")),
    )


def test_what_stands_behind_a_target_that_must_wait_is_not_reached(world: World) -> None:
    suspended = make.make_domain(make.make_tenant(state="suspended"))
    waiting = make.make_alias(
        suspended, "x", accepts_forwards_from=[world.domain.name], enabled=True
    )
    make.make_alias(
        world.domain, "all", make.to_inbox(), make.to_forward(waiting.key), make.to_inbox()
    )
    states = [node.state for node in tree("all@a.example").children[0].children]
    assert states == [State.TAKEN, State.REFUSED, State.UNREACHED]


def test_a_disabled_address_shows_the_targets_of_the_detail_s_rule(world: World) -> None:
    alias = make.make_alias(world.domain, "off", make.to_inbox())
    make.make_rule(alias, "news", "retarget", make.to_forward("x@far.example"))
    Address.objects.filter(pk=alias.pk).update(enabled=False)
    (target,) = tree("off+news@a.example").children[0].children
    assert (target.title, target.state) == ("x@far.example", State.UNREACHED)


@pytest.mark.parametrize("recipient", ["nobody@a.example", "x@elsewhere.example"])
def test_what_nobody_answers_for_stands_alone(world: World, recipient: str) -> None:
    assert told(tree(recipient)) == (recipient, "refused")


def test_a_role_without_a_row_goes_to_the_stored_inbox(world: World) -> None:
    assert told(tree("postmaster@a.example")) == (
        "postmaster@a.example",
        "taken",
        ("role postmaster", "taken", ("stored inbox", "taken")),
    )


def test_a_detail_is_answered_by_its_base(world: World) -> None:
    alias = make.make_alias(world.domain, "jobs")
    (answering,) = tree("jobs+berlin@a.example").children
    assert answering.row is not None
    assert answering.row.pk == alias.pk
    assert told(answering.children[0]) == ("stored inbox", "taken")


# --- where it stands


def fan(width: int) -> Node:
    return Node("recipient", "all", children=tuple(Node("inbox", f"{n}") for n in range(width)))


def test_a_hundred_targets_stand_below_each_other_beside_their_address() -> None:
    picture = place(fan(100))
    root, *ends = picture.boxes
    assert root.y == ends[0].y
    assert {box.x for box in ends} == {root.x + WIDTH + GAP}
    assert [box.y for box in ends] == sorted({box.y for box in ends})
    assert len(picture.edges) == 100
    assert picture.height > 100 * HEIGHT
    assert picture.edges[0].path == "M206 25 H234"
    assert picture.edges[1].path == "M206 25 H220 V83 H234"


trees = st.recursive(
    st.builds(Node, st.just("inbox"), st.text(max_size=40)),
    lambda inner: st.builds(
        Node,
        st.just("address"),
        st.text(max_size=40),
        children=st.lists(inner, max_size=4).map(tuple),
    ),
    max_leaves=30,
)


@given(trees)
def test_no_two_boxes_overlap_and_each_has_one_line_to_it(root: Node) -> None:
    picture = place(root)
    assert len(picture.boxes) == len(list(root.walk()))
    assert len(picture.edges) == len(picture.boxes) - 1
    corners = {(box.x, box.y) for box in picture.boxes}
    assert len(corners) == len(picture.boxes)
    for x in {x for x, _ in corners}:
        column = sorted(y for left, y in corners if left == x)
        assert all(low - high >= HEIGHT for high, low in pairwise(column))
    assert all(box.x + WIDTH < picture.width for box in picture.boxes)
    assert all(edge.end.x > edge.start.x + WIDTH for edge in picture.edges)


@given(st.text(max_size=300))
def test_a_text_fits_into_its_box(text: str) -> None:
    short = shorten(text)
    assert len(short) <= LONGEST
    assert short == text or (text.startswith(short[:10]) and text.endswith(short[-10:]))
