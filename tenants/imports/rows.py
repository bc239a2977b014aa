"""Rows as values: what a file, or another product's database, says about one thing here.

The one table of what is exchanged: each kind of row, its fields, and the names under which other
people's files know them. No Django: a row is compared with what is there before anything is asked
of a model, and another source of rows needs nothing but this file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.routing.address import Address, AddressError
from tenants.imports.values import (
    Flag,
    HostName,
    MailAddress,
    Moment,
    Note,
    Number,
    Octets,
    Rules,
    Shape,
    Targets,
    Text,
    Value,
    Words,
    split_rule,
    split_target,
)

FIELD_MAX_CHARACTERS = 65_536
PLAIN = Text()


class Kind(StrEnum):
    """What a row is about, in the order in which rows are written: each needs those before it."""

    TENANT = "tenant"
    HOP = "next hop"
    MAILBOX = "mailbox"
    DOMAIN = "domain"
    ALIAS = "alias"
    ROLE = "role address"

    @property
    def group(self) -> str:
        """The kinds that share one set of names: an address is an alias or a role address."""
        return "address" if self in (Kind.ALIAS, Kind.ROLE) else self.value

    @property
    def rank(self) -> int:
        return list(Kind).index(self)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row: its name, how it is read, and what else it is called.

    Left empty, a field that needs a value is as if it were not there.
    """

    name: str
    shape: Shape = PLAIN
    needs_value: bool = False
    other_names: tuple[str, ...] = ()


TYPE, TENANT = "type", "tenant"
_ADDRESS = Field(
    "address", MailAddress(), True, ("email", "mail", "emailaddress", "alias", "source", "mailbox")
)
_NAME = Field("name", other_names=("fullname", "displayname"))
_FOR_ADDRESSES = (
    _ADDRESS,
    Field(
        "targets",
        Targets(),
        other_names=("target", "goto", "goesto", "destination", "destinations", "forward", "to"),
    ),
    Field("enabled", Flag(), True, ("active", "isactive")),
    Field("expires_at", Moment(), other_names=("expires", "expiry", "validuntil")),
    Field("owner"),
    Field("purpose"),
    Field("note", Note(), other_names=("notes", "comment", "remark", "remarks", "description")),
    Field("allowed_senders", Words(), other_names=("senders",)),
    Field("sender_match", needs_value=True),
    Field("authentication"),
    Field("signing_domain"),
    Field("authentication_failure", needs_value=True),
    Field("filters_mail"),
    Field("on_spam"),
    Field("on_suspicious"),
    Field("on_virus"),
    Field("max_message_octets", Octets(), other_names=("maxmessagesize", "largestmessage")),
    Field("rate_per_hour", Number(), other_names=("messagesperhour",)),
    Field("accepts_forwards_from", Words()),
    Field("rules", Rules(), other_names=("subaddressrules",)),
)
FIELDS: dict[Kind, tuple[Field, ...]] = {
    Kind.TENANT: (_NAME, Field("plan", needs_value=True)),
    Kind.HOP: (
        Field("name", needs_value=True),
        Field("protocol", needs_value=True),
        Field("host", needs_value=True, other_names=("server", "hostname")),
        Field("port", Number(), True),
        Field("tls", needs_value=True),
        Field("calls_ahead", Flag(), True),
    ),
    Kind.MAILBOX: (
        _ADDRESS,
        _NAME,
        Field("kind", needs_value=True),
        Field("next_hop", needs_value=True, other_names=("nexthop", "transport")),
    ),
    Kind.DOMAIN: (
        Field("domain", HostName(), True, ("domainname",)),
        Field("environment", needs_value=True),
        Field("delimiters"),
        Field("local_part_pattern"),
        Field("local_part_max_octets", Number()),
        Field("hides_disabled", Flag(), True),
        Field("default_role_holder", MailAddress()),
        Field("smarthost"),
    ),
    Kind.ALIAS: _FOR_ADDRESSES,
    Kind.ROLE: (_ADDRESS, Field("holder", MailAddress()), *_FOR_ADDRESSES[1:]),
}
# Whose value names the row.
NAMED_BY = {
    Kind.TENANT: TENANT,
    Kind.HOP: "name",
    Kind.MAILBOX: "address",
    Kind.DOMAIN: "domain",
    Kind.ALIAS: "address",
    Kind.ROLE: "address",
}
_OTHER_TYPES = {
    "role": Kind.ROLE,
    "roleaddress": Kind.ROLE,
    "nexthop": Kind.HOP,
    "hop": Kind.HOP,
    "address": Kind.ALIAS,
    "user": Kind.MAILBOX,
}
_NOT_LETTERS = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row is not taken: its field (empty where it is about the whole row) and a sentence."""

    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.field}: {self.sentence}" if self.field else self.sentence


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be read, with the number by which its source counts it."""

    number: int
    refusals: tuple[Refusal, ...]
    name: str = ""


class RowError(ValueError):
    """A row that cannot be read, with every reason."""

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__("; ".join(map(str, refusals)))
        self.refusals = refusals


@dataclass(frozen=True, slots=True)
class Row:
    """One thing as a source describes it; fields that it does not name stay as they are here.

    `number` is the source's own (the row of a table, the line of a map); `tenant` is an external
    id, empty where the source does not say.
    """

    number: int
    kind: Kind
    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    tenant: str = ""

    @property
    def key(self) -> str:
        """What two rows about the same thing share."""
        return key_of(self.kind, self.name)

    @property
    def ref(self) -> str:
        """The key among everything in one import."""
        return ref_to(self.kind.group, self.tenant, self.key)

    def points_at(self) -> tuple[tuple[str, str], ...]:
        """Group and key of what this row names, its tenant first."""
        found = [("tenant", self.tenant)] if self.kind != Kind.TENANT else []
        return tuple(dict.fromkeys([*found, *_pointed_at(self)]))


def ref_to(group: str, tenant: str, key: str) -> str:
    """The name of a thing within one import."""
    return f"{group}|{tenant}|{key}"


def key_of(kind: Kind, name: str) -> str:
    """The name as it is compared: of an address its folded form."""
    if kind not in (Kind.MAILBOX, Kind.ALIAS, Kind.ROLE):
        return name
    try:
        return Address.parse(name).key
    except AddressError:
        return name


def make_row(number: int, kind: Kind, cells: Mapping[str, object], *, tenant: str = "") -> Row:
    """A row out of named cells (text or JSON's values). Raises RowError with every reason."""
    fields = {each.name: each for each in FIELDS[kind]}
    refusals = [_foreign(name, kind) for name in cells if name not in fields and cells[name]]
    values: dict[str, Value] = {}
    for name in fields.keys() & cells.keys():
        try:
            _read_cell(values, fields[name], cells[name])
        except ValueError as error:
            refusals.append(Refusal(name, str(error)))
    given = tenant if kind == Kind.TENANT else values.get(NAMED_BY[kind], "")
    if not given and not refusals:
        refusals.append(Refusal(NAMED_BY[kind], f"Write which {kind} this row is about."))
    if refusals:
        raise RowError(*sorted(refusals, key=lambda refusal: refusal.field))
    if kind != Kind.TENANT:
        del values[NAMED_BY[kind]]
    return Row(number, kind, str(given), _in_order(kind, values), tenant)


def read_row(number: int, cells: Mapping[str, object], *, kind: Kind | None = None) -> Row:
    """A row out of cells that may say its type and tenant. Raises RowError."""
    rest = {name: raw for name, raw in cells.items() if name not in (TYPE, TENANT)}
    said, tenant = cells.get(TYPE) or "", cells.get(TENANT) or ""
    if not isinstance(said, str) or not isinstance(tenant, str | int):
        raise RowError(Refusal(TYPE, "Write type and tenant as text."))
    try:
        found = parse_kind(said) if said.strip() else kind
    except ValueError as error:
        raise RowError(Refusal(TYPE, str(error))) from None
    found = found or guess_kind(rest)
    if found is None:
        raise RowError(Refusal(TYPE, f"Say what this row is: {', '.join(Kind)}."))
    return make_row(number, found, rest, tenant=str(tenant).strip())


def parse_kind(text: str) -> Kind:
    """The kind that a word names, forgiving case and plural. Raises ValueError."""
    word = plain_name(text)
    known = {plain_name(kind): kind for kind in Kind} | _OTHER_TYPES
    singular = (
        word.removesuffix("es") if word.removesuffix("es") in known else word.removesuffix("s")
    )
    found = known.get(word) or known.get(singular)
    if found is None:
        raise ValueError(f"“{text.strip()[:40]}” is none of {', '.join(Kind)}.")
    return found


def guess_kind(names: Iterable[str]) -> Kind | None:
    """What a row without a type is about, from the fields it has; None where that is open."""
    present = set(names)
    for telling, kind in (
        ("holder", Kind.ROLE),
        ("targets", Kind.ALIAS),
        ("next_hop", Kind.MAILBOX),
        ("host", Kind.HOP),
        ("plan", Kind.TENANT),
        ("domain", Kind.DOMAIN),
        ("address", Kind.ALIAS),
    ):
        if telling in present:
            return kind
    return None


def plain_name(name: str) -> str:
    """A column's name without case, blanks and punctuation."""
    return _NOT_LETTERS.sub("", name.lower())


def known_names() -> dict[str, str]:
    """Every name that a column may bear, without case and punctuation, with the field it means."""
    names = {TYPE: TYPE, TENANT: TENANT, "tenantid": TENANT}
    every = {each.name: each for kind in Kind for each in FIELDS[kind]}
    for each in every.values():
        for other in each.other_names:
            names.setdefault(plain_name(other), each.name)
    # What a field is really called comes last: it means nothing else.
    return names | {plain_name(name): name for name in every}


def columns_of(kinds: Iterable[Kind]) -> list[str]:
    """The columns of a table that holds rows of these kinds, each once, names first."""
    wanted = [each.name for kind in kinds for each in FIELDS[kind]]
    first = [name for name in ("address", "domain", "name") if name in wanted]
    return list(dict.fromkeys([*first, *wanted]))


def cells_of(row: Row) -> dict[str, str]:
    """The row as a table shows it: each field as text that reads back to the same value."""
    shapes = {each.name: each.shape for each in FIELDS[row.kind]}
    named = {} if row.kind == Kind.TENANT else {NAMED_BY[row.kind]: row.name}
    return named | {name: shapes[name].print(value) for name, value in row.values.items()}


def _read_cell(values: dict[str, Value], field_: Field, raw: object) -> None:
    if isinstance(raw, str) and len(raw) > FIELD_MAX_CHARACTERS:
        limit = f"{FIELD_MAX_CHARACTERS:,}"
        raise ValueError(f"This is {len(raw):,} characters long; {limit} are the most.")
    is_empty = raw is None or (isinstance(raw, str) and not raw.strip())
    if not (is_empty and field_.needs_value):
        values[field_.name] = field_.shape.parse(raw)


def _foreign(name: str, kind: Kind) -> Refusal:
    article = "An" if kind.value[0] in "aeiou" else "A"
    return Refusal(name, f"{article} {kind} has no such field: leave it empty.")


def _in_order(kind: Kind, values: Mapping[str, Value]) -> dict[str, Value]:
    return {each.name: values[each.name] for each in FIELDS[kind] if each.name in values}


def _pointed_at(row: Row) -> Iterator[tuple[str, str]]:
    """Group and key of everything that the row names."""
    for name in ("next_hop", "smarthost"):
        if hop := row.values.get(name):
            yield Kind.HOP.group, str(hop)
    for name in ("holder", "default_role_holder"):
        if mailbox := row.values.get(name):
            yield Kind.MAILBOX.group, key_of(Kind.MAILBOX, str(mailbox))
    if row.kind.group == "address":
        yield Kind.DOMAIN.group, row.key.rpartition("@")[2]
    for kind, address in map(split_target, _targets_of(row)):
        key = key_of(Kind.ALIAS, address)
        if kind in ("mailbox", ""):
            yield Kind.MAILBOX.group, key
        if kind in ("forward", ""):
            yield Kind.ALIAS.group, key


def _targets_of(row: Row) -> Iterator[str]:
    targets, rules = row.values.get("targets"), row.values.get("rules")
    yield from targets if isinstance(targets, tuple) else ()
    for rule in rules if isinstance(rules, tuple) else ():
        yield from split_rule(rule)[2]
