"""What a row would change: pure comparison of values before and after.

What a model makes of a value (folded, sorted, revived) shows only once it is saved, so the last
word is the comparison of what was stored before with what is stored afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tenants.imports.rows import FIELDS, Field, Row
from tenants.imports.values import Value, split_target

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field's value before and after, as a cell shows them."""

    field: str
    old: str
    new: str


def settle(row: Row, before: Values) -> dict[str, Value]:
    """What the row gives, with bare target addresses taken for what they are here already."""
    given = dict(row.values)
    standing = map(split_target, _tuple(before.get("targets")))
    kinds = {address: kind for kind, address in standing}
    targets = given.get("targets")
    if isinstance(targets, tuple):
        given["targets"] = tuple(
            f"{kinds[target]} {target}" if kinds.get(target) else target for target in targets
        )
    return given


def is_unchanged(row: Row, before: Values) -> bool:
    """Whether everything that the row gives stands there already."""
    given = settle(row, before)
    return all(before.get(name) == value for name, value in given.items())


def compare(row: Row, before: Values | None, after: Values) -> tuple[Difference, ...]:
    """The fields that differ, in their usual order; of a new row those that it gave."""
    was: Values = before if before is not None else {}
    looked_at = after.keys() if before is not None else row.values.keys()
    shown = (
        Difference(each.name, _print(each, was), _print(each, after))
        for each in FIELDS[row.kind]
        if each.name in looked_at
    )
    return tuple(each for each in shown if each.old != each.new)


def _print(field: Field, values: Values) -> str:
    return field.shape.print(values[field.name]) if field.name in values else ""


def _tuple(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
