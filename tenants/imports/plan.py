"""The order in which rows are written, and rows that say the same thing twice. Pure.

What is pointed at comes before what points at it: next hops, mailboxes, domains, then addresses,
and of those the ones that others forward to first.
"""

from collections.abc import Iterable, Iterator, Mapping

from tenants.imports.rows import Kind, Refusal, Refused, Row, ref_to

NEEDED = 200


def plan(rows: Iterable[Row | Refused]) -> list[Row | Refused]:
    """The rows in the order in which they are written, what cannot be read at the end.

    Of rows about one thing the first stands and later ones are refused. Rows in a circle keep the
    order of their source; the rules of the models refuse it.
    """
    first: dict[str, Row] = {}
    refused: list[Refused] = []
    for row in rows:
        if isinstance(row, Refused):
            refused.append(row)
        elif row.ref in first:
            refused.append(_twice(row, first[row.ref]))
        else:
            first[row.ref] = row
    return [*_in_order(first), *sorted(refused, key=lambda each: each.number)]


class Held:
    """The rows of one import by their refs, and which of them others need."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self._addresses: dict[str, list[str]] = {}  # refs by key, whoever's they are
        for ref, row in rows.items():
            if row.kind.group == "address":
                self._addresses.setdefault(row.key, []).append(ref)

    def needed_by(self, row: Row) -> list[Row]:
        """What a row needs, directly or by way of others; at most NEEDED of them."""
        found: dict[str, Row] = {}
        waiting = self.refs_of(row)
        while waiting and len(found) < NEEDED:
            need = waiting.pop(0)
            if need not in found and need != row.ref:
                found[need] = self._rows[need]
                waiting += self.refs_of(found[need])
        return list(found.values())

    def refs_of(self, row: Row) -> list[str]:
        """The rows that a row points at: its tenant's own, or else a next hop of everyone's, or an
        address of another tenant.
        """
        found = [ref for pair in row.points_at() for ref in self._refs(*pair, row.tenant)]
        return [ref for ref in dict.fromkeys(found) if ref != row.ref]

    def _refs(self, group: str, key: str, tenant: str) -> list[str]:
        if (own := ref_to(group, tenant, key)) in self._rows:
            return [own]
        if group == "address":
            return self._addresses.get(key, [])
        shared = ref_to(group, "", key)
        return [shared] if group == Kind.HOP.group and shared in self._rows else []


def _in_order(rows: dict[str, Row]) -> Iterator[Row]:
    by_kind = sorted(rows.values(), key=lambda row: (_turn(row), row.number))
    depths = _depths(rows)
    yield from sorted(by_kind, key=lambda row: (_turn(row), depths.get(row.ref, 0)))


def _turn(row: Row) -> int:
    """Aliases and role addresses take turns: one may forward to the other."""
    return min(row.kind.rank, Kind.ALIAS.rank)


def _depths(rows: dict[str, Row]) -> dict[str, int]:
    """How many forwards within the import lie behind an address; circles come last."""
    behind, before = _forwards(rows)
    depths: dict[str, int] = {}
    ready = [ref for ref in before if ref not in behind]
    depth = 0
    while ready:
        depths |= dict.fromkeys(ready, depth)
        reached = [ref for each in ready for ref in before.get(each, ())]
        for each in ready:
            for ref in before.get(each, ()):
                behind[ref].discard(each)
        ready = [ref for ref in dict.fromkeys(reached) if not behind[ref]]
        depth += 1
    return depths | {ref: depth for ref, left in behind.items() if left}


def _forwards(rows: dict[str, Row]) -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    """Of each address those of the import that it forwards to, and of those the reverse."""
    behind: dict[str, set[str]] = {}
    before: dict[str, list[str]] = {}
    held = Held(rows)
    for ref, row in rows.items():
        if row.kind.group != "address":
            continue
        for need in held.refs_of(row):
            if need.startswith("address|"):
                behind.setdefault(ref, set()).add(need)
                before.setdefault(need, []).append(ref)
    return behind, before


def _twice(row: Row, first: Row) -> Refused:
    sentence = f"Row {first.number} is about {row.name} already: leave one of them out."
    return Refused(row.number, (Refusal("", sentence),), row.name)
