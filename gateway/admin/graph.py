"""The graph of targets on the Explain page: boxes with the pages that they lead to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.urls import reverse

from gateway.explain import Explanation
from gateway.graph import Box, Node, Picture, Reference, grow, place
from tenants.models import Alias, Mailbox, NextHop, RoleAddress
from tenants.querysets import may_view

MODELS: dict[str, type[Model]] = {
    "alias": Alias,
    "roleaddress": RoleAddress,
    "mailbox": Mailbox,
    "nexthop": NextHop,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A box as it is drawn; a link is empty where there is no page, or none that may be opened."""

    box: Box
    url: str
    hop_url: str


@dataclass(frozen=True, slots=True)
class Graph:
    """What the templates draw: the picture, and the same tree as lines of a list."""

    picture: Picture
    boxes: list[Shown]
    root: Node
    ends: int


def graph_of(explanation: Explanation, user: Any) -> Graph | None:
    """None where the recipient or sender is refused for its syntax."""
    if explanation.decision is None or explanation.facts is None:
        return None
    recipient = explanation.recipient.key if explanation.recipient else "<postmaster>"
    root = grow(recipient, explanation.decision, explanation.facts)
    picture = place(root)
    boxes = [
        Shown(box, _url(box.node.row, user), _url(box.node.hop, user)) for box in picture.boxes
    ]
    return Graph(picture, boxes, root, sum(1 for node in _ends(root)))


def _ends(root: Node) -> Iterator[Node]:
    return (node for node in root.walk() if not node.children)


def _url(reference: Reference | None, user: Any) -> str:
    model = MODELS.get(reference.model) if reference else None
    if reference is None or model is None or not may_view(user, model):
        return ""
    return reverse(f"admin:tenants_{reference.model}_change", args=[reference.pk])
