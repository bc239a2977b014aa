"""What becomes of each row of each product: the tables of docs/moving-in.md as cases."""

import gzip
import io
from datetime import UTC, datetime

import pytest

from tenants.imports.rows import Kind, Row
from tenants.moving_in.inventory import Inventory, OldAlias, OldDomain, OldHop
from tenants.moving_in.plan import rows_of
from tenants.moving_in.reading import UnreadableSource, read_dump, read_maps, shown
from tenants.moving_in.sources.values import epoch, is_true, moment, transport
from tests.tenants.moving_in import installations
from tests.tenants.moving_in.dumps import POSTFIXADMIN, SECRET, mysqldump
from tests.tenants.moving_in.installations import NOW, alias, box


def planned(inventory: Inventory) -> tuple[dict[str, Row], dict[str, str]]:
    """Rows by kind and name, and why each of the others is left."""
    rows = list(rows_of(inventory, tenant="acme", next_hop="store", now=NOW))
    taken = {f"{row.kind} {row.name}": row for row in rows if isinstance(row, Row)}
    left = {row.name: str(row.refusals[0]) for row in rows if not isinstance(row, Row)}
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return taken, left


def read(product: str) -> Inventory:
    text = {
        "postfixadmin": installations.postfixadmin,
        "mailcow": installations.mailcow,
        "modoboa": installations.modoboa,
    }[product]()
    return read_dump(product, io.BytesIO(text.encode()))


ALIASES = {
    "postfixadmin": {
        "ann@old.example": ("mailbox ann@old.example", "forward ann@elsewhere.example"),
        "away@old.example": ("mailbox away@old.example",),
        "dup@old.example": ("forward jo@old.example", "forward team@old.example"),
        "gone@old.example": ("off", "mailbox gone@old.example"),
        "quiet@old.example": ("mailbox quiet@old.example",),
        "former@old.example": ("off", "forward jo@old.example"),
        "sam@off.example": ("off", "mailbox sam@off.example"),
        "half@old.example": ("forward jo@old.example",),
        "team@also.example": ("forward team@old.example",),
        "former@also.example": None,
    },
    "mailcow": {
        "black.hole@cow.example": ("discard",),
        "room@cow.example": ("discard",),
        "noimap@cow.example": ("mailbox noimap@cow.example",),
        "herd@cow.example": (
            "forward moo@cow.example",
            "forward noimap@cow.example",
            "forward archive@elsewhere.example",
        ),
        "typo@cow.example": ("forward moo@cow.example",),
        "pass@relay.example": ("mailbox pass@relay.example",),
        "moo@calf.example": ("forward moo@cow.example",),
        "herd@calf.example": None,
        "t1@cow.example": ("forward moo@cow.example",),
    },
    "modoboa": {
        "snakes@boa.example": ("forward kaa@boa.example", "forward mowgli@jungle.example"),
        "nag@boa.example": ("off", "mailbox nag@boa.example"),
        "kaa@python.example": ("forward kaa@boa.example",),
        "nag@python.example": None,
    },
}


@pytest.mark.parametrize(
    ("product", "address"), [(product, name) for product in ALIASES for name in ALIASES[product]]
)
def test_an_address_is_taken_over_as_what_it_does(product: str, address: str) -> None:
    expected = ALIASES[product][address]
    row = planned(read(product))[0].get(f"alias {address}")
    if row is None or expected is None:
        assert row is expected
        return
    told = row.values["targets"]
    assert (told if row.values.get("enabled", True) else ("off", *told)) == expected


@pytest.mark.parametrize(
    ("product", "names"),
    [
        (
            "postfixadmin",
            [
                "alias half@old.example, target |/usr/bin/vacation",
                "alias domain unused.example",
                "out-of-office reply of away@old.example",
                "fetching mail of jo at pop.example.net for jo@old.example",
            ],
        ),
        (
            "mailcow",
            [
                "transport of mx.example to mx.example",
                "sender-dependent relay of relay.example",
                "permission of moo@cow.example to send as *",
                "permission of moo@cow.example to send as x@else.example",
                "copy of mail from moo@cow.example to archive@elsewhere.example",
                "copy of mail for @cow.example to archive@elsewhere.example",
            ],
        ),
        ("modoboa", ["domain passed.example, all recipients"]),
    ],
)
def test_what_cannot_be_taken_over_is_named_with_its_reason(product: str, names: list[str]) -> None:
    left = planned(read(product))[1]
    assert list(left) == names
    assert all(reason.endswith(".") for reason in left.values())


def test_values_come_along() -> None:
    cow = planned(read("mailcow"))[0]
    assert cow["alias t1@cow.example"].values["expires_at"] == "2037-01-01T00:00:00Z"
    assert "expires_at" not in cow["alias t3@cow.example"].values
    assert cow["alias herd@cow.example"].values["note"] == "asked for by Jo"
    hop = cow["next hop smtp inner.example:2525"]
    assert (hop.values["host"], hop.values["port"]) == ("inner.example", 2525)
    assert cow["mailbox pass@relay.example"].values["next_hop"] == hop.name
    assert cow["mailbox moo@cow.example"].values == {"name": "Jo O'Neil", "next_hop": "store"}
    assert cow["alias moo@cow.example"].tenant == "acme"


def test_plain_maps_are_taken_over() -> None:
    files = {name: io.BytesIO(text.encode()) for name, text in installations.MAPS.items()}
    taken, left = planned(read_maps(files))
    assert taken["alias info@plain.example"].values["targets"] == (
        "forward jo@plain.example",
        "forward kim@elsewhere.example",
    )
    assert taken["alias nobody@plain.example"].values["targets"] == ("discard",)
    assert taken["mailbox lou@inner.example"].values["next_hop"] == "smtp 10.1.2.3:2500"
    assert list(left) == [
        "transport of mx.example: smtp:mx.example",
        "catch-all @plain.example to jo@plain.example",
    ]


ODD = {
    "domain": [{"domain": "x.example", "active": 1}],
    "mailbox": [box("jo@x.example"), box("not an address")],
    "alias": [
        alias("jo@x.example", "jo@x.example"),
        alias("ghost@x.example", "nobody@x.example"),
        alias("itself@x.example", "itself@x.example"),
        alias("local@x.example", "root"),
        alias("list@x.example", ":include:/etc/list"),
        alias("bücher@x.example", "jo@x.example"),
        alias(f"{'x' * 65}@x.example", "jo@x.example"),
        alias("strange@other.example", "jo@x.example"),
        alias("@x.example", "jo@x.example"),
        alias("pm@x.example", "postmaster@x.example"),
    ],
}


def test_odd_rows_are_left_one_by_one() -> None:
    dump = mysqldump(POSTFIXADMIN, ODD)
    taken, left = planned(read_dump("postfixadmin", io.BytesIO(dump.encode())))
    aliases = {row.name for row in taken.values() if row.kind is Kind.ALIAS}
    assert aliases == {"jo@x.example", "bücher@x.example", "pm@x.example"}
    assert list(left) == [
        "mailbox not an address",
        "alias local@x.example, target root",
        "alias local@x.example",
        "alias list@x.example, target :include:/etc/list",
        "alias list@x.example",
        f"alias {'x' * 65}@x.example",
        "alias ghost@x.example, target nobody@x.example",
        "alias ghost@x.example",
        "alias itself@x.example, target itself@x.example",
        "alias itself@x.example",
        "address strange@other.example",
        "catch-all @x.example to jo@x.example",
    ]


def test_no_secret_is_kept() -> None:
    dump = installations.mailcow()
    assert SECRET.replace("\\", "\\\\").replace("'", "\\'") in dump
    assert "SHA512" not in repr(read("mailcow"))


def test_only_the_named_domains_are_taken() -> None:
    octets = io.BytesIO(installations.postfixadmin().encode())
    taken, left = planned(read_dump("postfixadmin", octets, domains=["far.example"]))
    assert {row.name for row in taken.values() if row.kind is not Kind.HOP} == {
        "far.example",
        "lee@far.example",
    }
    assert left == {}


def test_a_packed_dump_is_unpacked() -> None:
    packed = gzip.compress(installations.modoboa().encode())
    assert read_dump("modoboa", io.BytesIO(packed)) == read("modoboa")


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"SQLite format 3\x00...", "sqlite3 file .dump"),
        (b"PGDMP\x01...", "--format=plain"),
        (b"", "does not look like PostfixAdmin's database"),
        (b"address,goto\n", "does not look like PostfixAdmin's database"),
        (b"\x1f\x8bnothing", "broken or cut off"),
        (b"INSERT INTO alias (address) VALUES ('a", "cut off"),
    ],
)
def test_what_is_no_dump_is_told(octets: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableSource, match=sentence):
        read_dump("postfixadmin", io.BytesIO(octets))


def test_maps_without_a_domain_are_told() -> None:
    with pytest.raises(UnreadableSource, match="No domain is named"):
        read_maps({"virtual_alias_maps": io.BytesIO(b"a@b.example c@d.example\n")})
    with pytest.raises(UnreadableSource, match="none of"):
        read_maps({"aliases": io.BytesIO(b"")})


def test_shown_leaves_passwords_and_folders_out() -> None:
    where = ["/root/old.sql", "mysql://jo:secret@db.example:3307/mailcow"]
    assert shown(where) == "old.sql, mysql://db.example:3307/mailcow"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lmtp:inet:store.example:24", OldHop("lmtp", "store.example", 24)),
        ("lmtp:inet:store.example", OldHop("lmtp", "store.example", 24)),
        ("lmtp:[192.0.2.1]", OldHop("lmtp", "192.0.2.1", 24)),
        ("smtp:[Mail.example]:2525", OldHop("smtp", "mail.example", 2525)),
        ("relay:[mail.example]", OldHop("smtp", "mail.example", 25)),
        ("smtp:mail.example", None),  # by MX
        ("lmtp:unix:private/dovecot-lmtp", None),
        ("virtual", None),
        ("", None),
        (None, None),
    ],
)
def test_transport_is_read_as_postfix_writes_it(text: str | None, expected: OldHop | None) -> None:
    assert transport(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (is_true, "1", True),
        (is_true, "t", True),
        (is_true, "True", True),
        (is_true, "0", False),
        (is_true, "f", False),
        (is_true, None, True),
        (moment, "2026-06-01 12:00:00", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        (moment, "2026-06-01 14:00:00.5+02", datetime(2026, 6, 1, 12, 0, 0, 500000, UTC)),
        (moment, "0000-00-00 00:00:00", None),
        (moment, "some day", None),
        (moment, None, None),
        (epoch, "1780315200", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        (epoch, "0", None),
        (epoch, None, None),
    ],
)
def test_values_of_every_database_are_read(read, text: str | None, expected: object) -> None:
    assert read(text) == expected


def test_a_large_alias_domain_is_planned_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = Inventory()
    inventory.take_domain("a.example")
    inventory.take_alias_domain("b.example", "a.example")
    for number in range(50):
        inventory.take_alias(f"user{number}@a.example", ["far@else.example"])
    gathered: list[int] = []
    whole = Inventory.addresses
    monkeypatch.setattr(Inventory, "addresses", lambda self: gathered.append(1) or whole(self))
    taken, _ = planned(inventory)
    assert len([name for name in taken if name.endswith("@b.example")]) == 50
    assert len(gathered) < 5


def test_what_does_not_fit_here_stays_behind_alone() -> None:
    away = ("x@far.example",)
    long = OldAlias("long@old.example", away, note="n" * 70_000)
    wide = OldAlias("wide@old.example", tuple(f"{n}@far.example" for n in range(1_001)))
    fits = OldAlias("fits@old.example", away)
    inventory = Inventory(
        domains={"old.example": OldDomain("old.example")},
        aliases={each.key: each for each in (long, wide, fits)},
    )

    taken, left = planned(inventory)

    assert "alias fits@old.example" in taken
    assert left == {
        "alias long@old.example": "note: This is 70,000 characters long; 65,536 are the most.",
        "alias wide@old.example": "targets: These are 1,001 values; 1,000 are the most.",
    }
