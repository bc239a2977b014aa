"""From octets to rows: every format, every way in which a file can be wrong, and there and back."""

import json
import string
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.imports import csv_rows, json_rows
from tenants.imports.errors import Unreadable
from tenants.imports.reading import Format, Hints, Limits, decode, guess_format, read
from tenants.imports.rows import FIELDS, NAMED_BY, Kind, Refused, Row, make_row
from tenants.imports.values import print_rule, split_rule

HINTS = Hints(next_hop="store", domain="a.example")


def rows_of(text: str, written: Format, hints: Hints = HINTS) -> list[Row | Refused]:
    return list(read(text.encode(), written, hints=hints))


def told(rows: Iterable[Row | Refused]) -> list[str]:
    """Each row in a line: what it is and says, or why it is refused."""
    return [
        f"{row.number} {row.name}: {'; '.join(map(str, row.refusals))}"
        if isinstance(row, Refused)
        else f"{row.number} {row.kind} {row.name} {dict(row.values)}"
        for row in rows
    ]


# --- CSV

CSV_CASES = {
    "comma": ("address,targets\nx@a.example,inbox", ("inbox",)),
    "semicolon": ("address;targets\nx@a.example;inbox, discard", ("inbox", "discard")),
    "tab": ("address\ttargets\nx@a.example\tinbox", ("inbox",)),
    "CR LF": ("address,targets\r\nx@a.example,inbox\r\n", ("inbox",)),
    "CR alone": ("address,targets\rx@a.example,inbox\r", ("inbox",)),
    "byte order mark": ("\ufeffaddress,targets\nx@a.example,inbox", ("inbox",)),
    "blank lines": ("\n\naddress,targets\n\nx@a.example,inbox\n\n", ("inbox",)),
    "other names": ("E-Mail;Goto\nx@a.example;b@c.example", ("b@c.example",)),
    "quoted line end": ('address,targets\nx@a.example,"inbox\ndiscard"', ("inbox", "discard")),
    "quoted comma": ('address,targets\nx@a.example,"""a,b""@c.example"', ('"a,b"@c.example',)),
    "case": ("ADDRESS,Targets\nx@a.example,Forward to B@c.example", ("forward B@c.example",)),
    "colon": ("address,targets\nx@a.example,mailbox: b@c.example", ("mailbox b@c.example",)),
}


@pytest.mark.parametrize(("text", "targets"), CSV_CASES.values(), ids=CSV_CASES)
def test_csv_is_read_forgivingly(text: str, targets: tuple[str, ...]) -> None:
    (row,) = rows_of(text, Format.CSV)

    assert isinstance(row, Row)
    assert (row.name, row.values) == ("x@a.example", {"targets": targets})


CSV_REFUSED = {
    "no address": ("address,targets\n,inbox", "2 : address: Write which alias this row is about."),
    "bad address": (
        "address,targets\nno,inbox",
        (
            "2 no: address: “no”: An address has the form local-part@domain. "
            "Write it as name@example.com."
        ),
    ),
    "flag": (
        "address,enabled\nx@a.example,maybe",
        "2 x@a.example: enabled: “maybe” is neither yes nor no: write yes or no.",
    ),
    "number": (
        "address,rate_per_hour\nx@a.example,1e3",
        (
            "2 x@a.example: rate_per_hour: “1e3” is no whole number: "
            "write digits, 2,147,483,647 at most."
        ),
    ),
    "moment": (
        "address,expires\nx@a.example,tomorrow",
        "2 x@a.example: expires_at: “tomorrow” is no moment: write 2026-12-31T18:00:00Z.",
    ),
    "target": (
        "address,targets\nx@a.example,fax 12",
        (
            "2 x@a.example: targets: “fax 12” is no target: write mailbox name@example.com, "
            "forward name@example.com, inbox or discard."
        ),
    ),
    "rule": (
        "address,rules\nx@a.example,spam",
        "2 x@a.example: rules: “spam” is no rule: write detail: refuse, or detail: a target.",
    ),
    "two reasons": (
        "address,enabled,rate_per_hour\nx@a.example,maybe,x",
        (
            "2 x@a.example: enabled: “maybe” is neither yes nor no: write yes or no.; "
            "rate_per_hour: “x” is no whole number: write digits, 2,147,483,647 at most."
        ),
    ),
    "type": (
        "type,address\ncatch-all,x@a.example",
        (
            "2 x@a.example: type: “catch-all” is none of tenant, next hop, mailbox, domain, alias, "
            "role address."
        ),
    ),
    "foreign field": (
        "type,address,host\nalias,x@a.example,mail.example",
        "2 x@a.example: host: An alias has no such field: leave it empty.",
    ),
    "long field": (
        f"address,note\nx@a.example,{'n' * 70_000}",
        "2 x@a.example: note: This is 70,000 characters long; 65,536 are the most.",
    ),
    "many values": (
        f'address,targets\nx@a.example,"{",inbox" * 1_001}"',
        "2 x@a.example: targets: These are 1,001 values; 1,000 are the most.",
    ),
    "more cells than columns": (
        "address,targets\nx@a.example,inbox,discard",
        (
            "2 x@a.example: The row has 3 cells and the first line 2: "
            "quote cells that hold a delimiter."
        ),
    ),
}


@pytest.mark.parametrize(("text", "sentence"), CSV_REFUSED.values(), ids=CSV_REFUSED)
def test_a_row_of_csv_is_refused_with_its_number_field_and_mend(text: str, sentence: str) -> None:
    assert told(rows_of(text, Format.CSV)) == [sentence]


def test_the_rows_beside_a_refused_one_are_read() -> None:
    text = "address,enabled\na@a.example,yes\nb@a.example,maybe\nc@a.example,no\n"

    assert [type(row) for row in rows_of(text, Format.CSV)] == [Row, Refused, Row]


def test_rows_are_numbered_as_a_spreadsheet_does() -> None:
    text = 'address,note\na@a.example,"two\nlines"\n\nb@a.example,x\n'

    assert [row.number for row in rows_of(text, Format.CSV)] == [2, 4]


# --- whole files

UNREADABLE: dict[str, tuple[bytes, Format, str]] = {
    "Latin-1": (b"address,note\nx@a.example,B\xfccher", Format.CSV, "line 2 holds the octet 0xFC"),
    "UTF-16": ("address".encode("utf-16"), Format.CSV, "in UTF-16: save it as UTF-8"),
    "null": (b"address\nx\0", Format.CSV, "Line 2 holds a null character"),
    "empty": (b"", Format.CSV, "The file is empty"),
    "unknown column": (b"address,colour\nx@a.example,red", Format.CSV, "“colour” is no name"),
    "column twice": (b"address,email\nx,y", Format.CSV, "Two columns mean “address”"),
    "open quotation": (b'address,note\nx@a.example,"no end', Format.CSV, "Row 2 cannot be read"),
    "endless cell": (b'address\n"' + b"x" * 200_000, Format.CSV, "Row 2 cannot be read"),
    "many columns": (b",".join([b"note"] * 201), Format.CSV, "201 columns; 200 are the most"),
    "too large": (b"x" * 300_001, Format.CSV, "more than 300 kB: import it in parts, or with"),
    "too many rows": (b"address\n" + b"x@a.example\n" * 30, Format.CSV, "more than 20 rows"),
    "no list": (b"7", Format.JSON, "no list of rows"),
    "no object": (b"[7]", Format.JSON, "Row 1 is no object"),
    "cut off": (b'[{"address": "x@a', Format.JSON, "ends within row 1"),
    "list not ended": (b'[{"address": "x@a.example"}', Format.JSON, "After row 1 a comma"),
    "comma at the end": (b'[{"address": "x@a.example"},]', Format.JSON, "Row 2 is no object"),
    "nested": (b'[{"note": [[[[[[1]]]]]]}]', Format.JSON, "nested deeper than 4 levels"),
    "deep": (b"[" * 9_000, Format.JSON, "Row 1 is no object"),
    "deep within": (b'[{"note":' + b"[" * 9_000, Format.JSON, "nested deeper than 4 levels"),
    "bad JSON": (b'[{"address" "x"}]', Format.JSON, "Row 1 is no JSON"),
    "long digits": (b'[{"port": ' + b"9" * 5_000 + b"}]", Format.JSON, "Row 1 is no JSON"),
    "regexp map": (b"# c\n/^x@(.*)$/ y@a.example", Format.VIRTUAL, "Line 2 is a pattern"),
    "if in a map": (b"if /x/\n/y/ z\nendif", Format.VIRTUAL, "Line 1 is a pattern"),
}


@pytest.mark.parametrize(("octets", "written", "sentence"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_is_refused_as_a_whole(octets: bytes, written: Format, sentence: str) -> None:
    limits = Limits(octets=300_000, rows=20)

    with pytest.raises(Unreadable) as refused:
        list(read(octets, written, hints=HINTS, limits=limits))

    assert sentence in str(refused.value)


GUESSES = [
    ("aliases.csv", "", Format.CSV),
    ("x.JSON", "", Format.JSON),
    ("virtual", "", Format.VIRTUAL),
    ("/etc/postfix/transport", "", Format.TRANSPORT),
    ("etc-aliases", "", Format.ALIASES),
    ("relay_recipients", "", Format.RECIPIENTS),
    ("", '[{"type": "alias"}]', Format.JSON),
    ("", "address;targets\n", Format.CSV),
    ("notes.txt", "a@b.example c@d.example", None),
]


@pytest.mark.parametrize(("name", "text", "written"), GUESSES)
def test_the_format_is_guessed(name: str, text: str, written: Format | None) -> None:
    assert guess_format(name, text.encode()) == written


# --- JSON


def test_json_is_an_array_of_objects_or_holds_one_as_rows() -> None:
    item = {"type": "alias", "Address": "x@a.example", "targets": ["inbox"], "enabled": False}
    plain, wrapped = json.dumps([item]), json.dumps({"version": 1, "rows": [item]})

    for text in (plain, wrapped):
        (row,) = rows_of(text, Format.JSON)
        assert isinstance(row, Row)
        assert row.values == {"targets": ("inbox",), "enabled": False}
    assert rows_of("[]", Format.JSON) == []


JSON_REFUSED = {
    "unknown": ('[{"addres": "x"}]', "addres: There is no such field here: leave it out."),
    "twice": ('[{"address": "x", "email": "y"}]', "address: This is said twice"),
    "nested": ('[{"address": {"x": 1}}]', "address: Write a single value here."),
    "fraction": (
        '[{"address": "x@a.example", "rate_per_hour": 1.5}]',
        "Write a single value here.",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), JSON_REFUSED.values(), ids=JSON_REFUSED)
def test_an_object_is_refused_with_its_field(text: str, sentence: str) -> None:
    assert sentence in told(rows_of(text, Format.JSON))[0]


# --- Postfix maps

MAPS = {
    "virtual": (
        Format.VIRTUAL,
        (
            "# comment\n\nx@a.example y@b.example,\n# between\n   \n\tz@b.example\n"
            'a.example anything\n"q r"@a.example y@b.example'
        ),
        [
            "3 alias x@a.example {'targets': ('y@b.example', 'z@b.example')}",
            "7 domain a.example {}",
            "8 alias \"q r\"@a.example {'targets': ('y@b.example',)}",
        ],
    ),
    "virtual without commas": (
        Format.VIRTUAL,
        "x@a.example y@b.example z@b.example",
        ["1 alias x@a.example {'targets': ('y@b.example', 'z@b.example')}"],
    ),
    "catch-all": (
        Format.VIRTUAL,
        "@a.example x@b.example",
        [
            (
                "1 @a.example: address: Catch-alls cannot be imported: there are none here yet. "
                "List the addresses that it stands for."
            )
        ],
    ),
    "no domain": (
        Format.VIRTUAL,
        "root x@b.example\nx@a.example root",
        [
            "1 root: address: Write the whole address, as in root@example.com.",
            "2 x@a.example: targets: Write the whole address, as in root@example.com.",
        ],
    ),
    "recipients": (
        Format.RECIPIENTS,
        "x@a.example OK\n",
        [
            "1 mailbox x@a.example {'next_hop': 'store'}",
            "1 alias x@a.example {'targets': ('mailbox x@a.example',)}",
        ],
    ),
    "transport": (
        Format.TRANSPORT,
        (
            "a.example smtp:[mail.b.example]:2525\nb.example relay:[mail.b.example]:2525\n"
            "x@c.example lmtp:inet:[192.0.2.1]\n"
        ),
        [
            (
                "1 next hop smtp:[mail.b.example]:2525 "
                "{'protocol': 'smtp', 'host': 'mail.b.example', 'port': 2525}"
            ),
            "3 next hop lmtp:[192.0.2.1]:24 {'protocol': 'lmtp', 'host': '192.0.2.1', 'port': 24}",
            "3 mailbox x@c.example {'next_hop': 'lmtp:[192.0.2.1]:24'}",
        ],
    ),
    "transport by MX": (
        Format.TRANSPORT,
        "a.example smtp:mail.b.example",
        [
            (
                "1 a.example: next hop: Without brackets Postfix asks for the MX of the name; a "
                "next hop here is a host: write [mail.example.com], with :port where it is not 25."
            )
        ],
    ),
    "transport elsewhere": (
        Format.TRANSPORT,
        "a.example error:gone\n.b.example smtp:[x.example]\n",
        [
            (
                "1 a.example: next hop: Only smtp, relay and lmtp:inet lead to a next hop; what "
                "Postfix does with “error” has to be set up here by hand."
            ),
            (
                "2 .b.example: domain: Subdomains cannot be meant together: "
                "write a line for each domain."
            ),
        ],
    ),
    "aliases": (
        Format.ALIASES,
        (
            "postmaster: root\nroot: jo@b.example, \\jo\nlist: :include:/etc/list\n"
            'vacation: "|/usr/bin/vacation jo"\nnull: /dev/null\n'
        ),
        [
            "1 alias postmaster@a.example {'targets': ('root@a.example',)}",
            "2 alias root@a.example {'targets': ('jo@b.example', 'jo@a.example')}",
            (
                "3 list: targets: Mail is not delivered to files, programs or lists in files here: "
                "write addresses."
            ),
            (
                "4 vacation: targets: Mail is not delivered to files, programs or lists in files "
                "here: write addresses."
            ),
            "5 alias null@a.example {'targets': ('discard',)}",
        ],
    ),
}


@pytest.mark.parametrize(("written", "text", "expected"), MAPS.values(), ids=MAPS)
def test_a_map_of_postfix_is_read(written: Format, text: str, expected: list[str]) -> None:
    assert told(rows_of(text, written)) == expected


@pytest.mark.parametrize("written", [Format.RECIPIENTS, Format.ALIASES])
def test_what_a_map_leaves_unsaid_has_to_be_said(written: Format) -> None:
    with pytest.raises(Unreadable, match="Say "):
        rows_of("x: y", written, Hints())


# --- there and back

WORDS = st.text(alphabet=string.ascii_letters + string.digits + "ü", min_size=1, max_size=9)
ADDRESSES = st.builds(
    "{}@{}.example".format,
    WORDS | st.sampled_from(['"a,b"', '"q; \\"r\\""']),
    WORDS.filter(str.isascii),
)
TARGETS = st.sampled_from(["inbox", "discard"]) | st.builds(
    "{} {}".format, st.sampled_from(["mailbox", "forward"]), ADDRESSES
)
TEXTS = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
)
DETAILS = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9
)
RULES = st.builds(
    print_rule,
    DETAILS,
    st.sampled_from(["deliver", "refuse", "retarget"]),
    st.lists(TARGETS, max_size=2).map(tuple),
)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@st.composite
def any_row(draw: st.DrawFn) -> Row:
    kind = draw(st.sampled_from([Kind.ALIAS, Kind.ROLE]))
    cells = {
        "address": draw(ADDRESSES),
        "targets": draw(st.lists(TARGETS, max_size=4)),
        "rules": draw(st.lists(RULES, max_size=3)),
        "note": draw(TEXTS),
        "purpose": draw(TEXTS),
        "enabled": draw(st.booleans()),
        "max_message_octets": draw(st.none() | st.integers(0, 2**31).map(str)),
        "expires_at": draw(st.none() | st.datetimes().map(str)),
        "allowed_senders": draw(st.lists(ADDRESSES | st.just("@x.example"), max_size=3)),
    }
    return make_row(1, kind, cells)


@given(any_row())
def test_a_row_printed_as_csv_reads_back(row: Row) -> None:
    kinds = [Kind.ALIAS, Kind.ROLE]
    header = csv_rows.print_header(kinds, has_tenant=True)
    line = csv_rows.print_row(row, kinds, has_tenant=True)

    (back,) = csv_rows.read(header + line)

    assert isinstance(back, Row), back
    assert (back.kind, back.name) == (row.kind, row.name)
    assert {name: back.values.get(name) for name in row.values} == row.values


@given(any_row())
def test_a_row_printed_as_json_reads_back(row: Row) -> None:
    (back,) = json_rows.read(f"[{json_rows.print_row(row, has_tenant=False)}]")

    assert isinstance(back, Row), back
    assert (back.kind, back.name, back.values) == (row.kind, row.name, row.values)


@given(st.text(alphabet="'=+-@\t\rx", max_size=6))
def test_no_cell_is_a_formula_and_none_is_lost(cell: str) -> None:
    guarded = csv_rows.guard(cell)

    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert csv_rows.take_back(guarded) == cell


@given(DETAILS, st.lists(TARGETS, min_size=1, max_size=3).map(tuple))
def test_a_rule_reads_back(detail: str, targets: tuple[str, ...]) -> None:
    assert split_rule(print_rule(detail, "retarget", targets))[0] == detail


@given(st.binary(max_size=300) | st.text(max_size=200).map(_encoded), st.sampled_from(Format))
def test_any_octets_are_rows_or_are_refused(octets: bytes, written: Format) -> None:
    with suppress(Unreadable):
        assert all(isinstance(row, Row | Refused) for row in read(octets, written, hints=HINTS))


def test_every_kind_is_named_by_a_field_of_its_own() -> None:
    for kind in Kind:
        assert kind == Kind.TENANT or NAMED_BY[kind] in {each.name for each in FIELDS[kind]}


def test_a_file_with_a_mark_and_without_reads_alike() -> None:
    assert decode("\ufeffäddress".encode()) == decode("äddress".encode())
