"""A decision as a tree: recipient, the address that answers, its targets, and where these lead.

Each address is opened once; where it comes again, or would come again for ever, the branch ends
with a word that says so.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.routing.decision import Branch, Decision, Destination
from gateway.routing.facts import AddressKind, Facts, HostedAddress, RuleAction, Target

KINDS = {"inbox": "stored inbox", "discard": "discard"}


class State(StrEnum):
    """What became of a branch."""

    TAKEN = "taken"
    REFUSED = "refused"
    CUT = "cut"
    REPEATED = "as above"
    UNREACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Reference:
    """The row that a node stands for, by the name of its model."""

    model: str
    pk: int


@dataclass(frozen=True, slots=True)
class Node:
    """One box: what it is called, a line about it, the rows it stands for, and what follows it.

    `via` is the next hop that a destination is handed to.
    """

    kind: str
    title: str
    note: str = ""
    state: State = State.TAKEN
    row: Reference | None = None
    hop: Reference | None = None
    via: str = ""
    children: tuple["Node", ...] = ()

    def walk(self) -> Iterator["Node"]:
        """This node and all that follow it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()


def grow(recipient: str, decision: Decision, facts: Facts) -> Node:
    """The tree of one decision, as far as it was followed."""
    tree = _Tree(decision, facts)
    state = State.TAKEN if decision.reply.is_accepted else State.REFUSED
    return Node("recipient", recipient, str(decision.reply), state, children=tree.answer(recipient))


class _Tree:
    """Grows the branches of a decision; `opened` are the addresses whose targets stand already."""

    def __init__(self, decision: Decision, facts: Facts) -> None:
        self._decision = decision
        self._rows = {row.id: row for row in facts.addresses.values()}
        self._keys = facts.addresses
        self._branches: dict[str, dict[Branch, None]] = {}
        for branch in decision.branches:
            self._branches.setdefault(branch.origin, {})[branch] = None
        self._opened: set[str] = set()

    def answer(self, recipient: str) -> tuple[Node, ...]:
        """What answers for the recipient; nothing where nobody does."""
        decision, row = self._decision, self._rows.get(self._decision.address_id or 0)
        if row is None and not (decision.branches or decision.destinations):
            return ()
        children = self._open(recipient)
        if not children and decision.destinations:
            children = tuple(_place(each) for each in decision.destinations)
        state = State.TAKEN if decision.reply.is_accepted else State.REFUSED
        if row is not None and state is State.REFUSED:
            left = self._targets(row)[len(children) :]
            children = (*children, *map(_unreached, left))
        return (
            Node("address", decision.rule, state=state, row=_reference(row), children=children),
        )

    def _targets(self, row: HostedAddress) -> tuple[Target, ...]:
        """The address's own, or those that the rule for the detail has in their place."""
        rule = row.rules.get(self._decision.detail)
        is_elsewhere = rule is not None and rule.action is RuleAction.RETARGET
        return rule.targets if rule is not None and is_elsewhere else row.targets

    def _open(self, key: str) -> tuple[Node, ...]:
        self._opened.add(key)
        return tuple(self._node(branch) for branch in self._branches.get(key, ()))

    def _node(self, branch: Branch) -> Node:
        if branch.destination is not None:
            place = _place(branch.destination)
            is_cut = branch.outcome == State.CUT
            return replace(place, state=State.CUT, note=str(branch.reply)) if is_cut else place
        return self._onward(branch)

    def _onward(self, branch: Branch) -> Node:
        """A forward to an address hosted here."""
        key = branch.onward
        note = str(branch.reply) if branch.reply else ""
        node = Node("address", key, note, self._state(branch), self._row_of(key))
        if node.state in (State.CUT, State.REPEATED):
            return node
        return replace(node, children=self._open(key))

    def _state(self, branch: Branch) -> State:
        if branch.outcome == State.CUT:
            return State.CUT
        if branch.outcome == "followed before" or branch.onward in self._opened:
            return State.REPEATED
        return State.REFUSED if branch.reply else State.TAKEN

    def _row_of(self, key: str) -> Reference | None:
        """The address of this key, or what answers for it."""
        answering: Iterable[Branch] = self._branches.get(key, ())
        ids = (branch.address_id for branch in answering)
        return _reference(self._keys.get(key) or self._rows.get(next(ids, None) or 0))


def _reference(row: HostedAddress | None) -> Reference | None:
    if row is None:
        return None
    return Reference("alias" if row.kind is AddressKind.ALIAS else "roleaddress", row.id)


def _place(place: Destination) -> Node:
    """Where a message is handed over, or kept."""
    hop = place.hop
    return Node(
        kind=place.kind,
        title=str(place.recipient) if place.recipient else KINDS.get(place.kind, place.kind),
        note="with a return path of ours" if place.rewrites_sender else "",
        row=Reference("mailbox", place.mailbox_id) if place.mailbox_id else None,
        hop=Reference("nexthop", hop.id) if hop and hop.id else None,
        via=f"{hop.protocol}:{hop.host}:{hop.port}" if hop else "",
    )


def _unreached(target: Target) -> Node:
    """A target of an address that refuses before it gets so far."""
    box = target.mailbox
    title = str(box.address if box else target.forward_to or KINDS.get(target.kind, target.kind))
    row = Reference("mailbox", box.id) if box else None
    return Node(target.kind, title, state=State.UNREACHED, row=row)
