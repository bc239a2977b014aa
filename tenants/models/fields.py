"""What models share: validators whose sentence says how to mend the value, and where errors go.

Every error names the field that an operator has to change.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import reduce
from operator import and_
from types import MappingProxyType
from typing import Any, Self

import re2
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from gateway.routing.address import Address, AddressError, parse_domain


class Ruled(models.Model):
    """A row that tells a broken constraint at the field which its `violation_error_code` names.

    `as_read` is what the database held when the row was read or saved last, by column; empty for a
    row that is new. What differs from it is what somebody changed.
    """

    as_read: Mapping[str, Any] = MappingProxyType({})

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Any, **more: Any
    ) -> Self:
        row = super().from_db(db, field_names, values, **more)
        row.as_read = {name: _kept(value) for name, value in zip(field_names, values, strict=True)}
        return row

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self.note_as_read(names)

    def note_as_read(self, fields: Collection[str] | None = None) -> None:
        """What these fields hold is what the database holds; without any, all that are loaded."""
        loaded = {
            each.attname: _kept(self.__dict__[each.attname])
            for each in self._meta.concrete_fields
            if each.attname in self.__dict__
            and (fields is None or not {each.name, each.attname}.isdisjoint(fields))
        }
        self.as_read = {**self.as_read, **loaded}

    def full_clean(self, *args: Any, **kwargs: Any) -> None:
        """As Django's, with one sentence a field: what is no value breaks no rule besides."""
        try:
            super().full_clean(*args, **kwargs)
        except ValidationError as error:
            first = {name: sentences[:1] for name, sentences in error.error_dict.items()}
            raise ValidationError(first) from error

    def validate_constraints(self, exclude: Iterable[str] | None = None) -> None:
        """As Django's, by field; a field that has been refused already is not refused again.

        Checks that all hold take one query for each table, where Django asks for each alone.
        """
        refused = set(exclude or ())
        broken: dict[str, list[ValidationError]] = {}
        for model, constraint in self._constraints_in_doubt(refused):
            try:
                constraint.validate(model, self, exclude=refused)
            except ValidationError as error:
                broken = error.update_error_dict(broken)
        placed = by_field(type(self), ValidationError(broken))
        if errors := {name: placed[name] for name in placed if name not in refused}:
            raise ValidationError(errors)

    def _constraints_in_doubt(
        self, exclude: set[str]
    ) -> Iterator[tuple[type[models.Model], models.BaseConstraint]]:
        """All constraints but the checks of a table whose row breaks none of them."""
        for model, constraints in self.get_constraints():
            checks = [one for one in constraints if isinstance(one, models.CheckConstraint)]
            is_sound = hold_together(self, model, checks, exclude=exclude)
            yield from ((model, one) for one in constraints if one not in checks or not is_sound)

    def stored(self, *fields: str) -> dict[str, Any] | None:
        """These values as the database has them; None for a row that is new.

        As they were read, which under the lock of a save is as they are; else one query.
        """
        if not self.pk:
            return None
        about: Any = self._meta
        columns = {name: about.get_field(name).attname for name in fields}
        if self.as_read.keys() >= set(columns.values()):
            return {name: self.as_read[column] for name, column in columns.items()}
        return type(self)._base_manager.filter(pk=self.pk).values(*fields).first()

    def check_deletion(self) -> None:
        """What keeps the row besides other rows that need it. Raises ValidationError."""

    def require_kept(self, field: str, sentence: str) -> None:
        """Refuse another value of a field that cannot change once the row is there."""
        before = self.stored(field)
        now = self.serializable_value(field)
        if before is not None and before[field] != now:
            raise ValidationError({field: sentence})


def _kept(value: Any) -> Any:
    """Apart from what the row holds, which may be changed in place."""
    return deepcopy(value) if isinstance(value, list | dict) else value


def hold_together(
    row: models.Model,
    model: type[models.Model],
    checks: Iterable[models.CheckConstraint],
    *,
    exclude: set[str],
) -> bool:
    """Whether the row breaks none of the checks of its table `model`. One query, or none.

    A check that names an excluded field is left out, as by Django.
    """
    fields: Any = row  # what Django's own checks are asked about
    values = fields._get_field_expression_map(meta=model._meta, exclude=exclude)
    conditions = [models.Q(check.condition) for check in checks]
    asked = [one for one in conditions if one.referenced_base_fields <= values.keys()]
    if not asked:
        return True
    together = reduce(and_, asked)  # false only where one is: NULL breaks no check
    return together.check({name: values[name] for name in together.referenced_base_fields})


def by_field(model: type[models.Model], error: ValidationError) -> dict[str, list[ValidationError]]:
    """The sentences of broken constraints, each at the field that its code names."""
    placed: dict[str, list[ValidationError]] = {}
    for name, sentences in error.error_dict.items():
        for sentence in sentences:
            field = sentence.code if _has_field(model, sentence.code) else name
            placed.setdefault(str(field), []).append(sentence)
    return placed


def _has_field(model: type[models.Model], name: str | None) -> bool:
    try:
        return name is not None and bool(model._meta.get_field(name))
    except FieldDoesNotExist:
        return False


def parse_address(text: str, field: str) -> Address:
    """The parsed address; a ValidationError on `field` where it is none."""
    try:
        return Address.parse(text.strip())
    except AddressError as error:
        raise ValidationError({field: f"{error} Write it as name@example.com."}) from None


def normalise_domain(text: str, field: str) -> str:
    """The A-label; a ValidationError on `field` where the text is no domain with a dot in it."""
    try:
        domain = parse_domain(text.strip())
    except AddressError as error:
        raise ValidationError({field: f"{error} Write it as example.com."}) from None
    if "." not in domain or domain.startswith("["):
        raise ValidationError({field: "Write the whole domain, for example example.com."})
    return domain


def validate_pattern(pattern: str) -> None:
    """An RE2 pattern that compiles."""
    try:
        re2.compile(pattern)
    except re2.error as error:
        text = error.args[0] if error.args else ""
        reason = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise ValidationError(f"This is not a valid RE2 pattern: {reason}.") from None


def normalise_sender(text: str) -> str:
    """An allowed sender as it is compared: `<>`, `@a-label` or an address's written key."""
    entry = text.strip()
    if entry == "<>":
        return entry
    try:
        if entry.startswith("@"):
            return f"@{parse_domain(entry[1:])}"
        return Address.parse(entry).written_key
    except AddressError:
        raise ValidationError(
            {
                "allowed_senders": f"“{entry}” is no sender: "
                "write name@example.com, @example.com or <>."
            }
        ) from None
