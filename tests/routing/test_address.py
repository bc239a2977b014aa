"""Addresses: what is parsed, what is refused, and that look-ups see equal addresses as equal."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.routing.address import (
    DELIMITER_ALPHABET,
    Address,
    AddressError,
    fold,
    is_bare_postmaster,
    parse_domain,
    parse_path,
    to_u_label,
)


def case(section: str, *values: object) -> object:
    return pytest.param(*values, id=section)


@pytest.mark.parametrize(
    ("typed", "local_part", "domain", "key"),
    [
        case("RFC5321-4.1.2", "Anna@A.Example", "Anna", "a.example", "anna@a.example"),
        case("RFC5321-4.1.2-atext", "!#$%&'*+/=?^_`{|}~-@a.example",
             "!#$%&'*+/=?^_`{|}~-", "a.example", "!#$%&'*+/=?^_`{|}~-@a.example"),
        case("RFC5321-4.1.2-dots", "a.b.c@a.example", "a.b.c", "a.example", "a.b.c@a.example"),
        case("RFC5321-4.1.2-quoted", '"a b"@a.example', "a b", "a.example", "a b@a.example"),
        case("RFC5321-4.1.2-needless-quotes", '"anna"@a.example',
             "anna", "a.example", "anna@a.example"),
        case("RFC5321-4.1.2-quoted-pair", r'"a\"b\\"@a.example',
             'a"b\\', "a.example", 'a"b\\@a.example'),
        case("RFC5321-4.1.2-quoted-at", '"a@b"@a.example', "a@b", "a.example", "a@b@a.example"),
        case("RFC5321-4.1.2-empty-quotes", '""@a.example', "", "a.example", "@a.example"),
        case("RFC5321-4.1.3-v4", "a@[192.0.2.1]", "a", "[192.0.2.1]", "a@[192.0.2.1]"),
        case("RFC5321-4.1.3-v6", "a@[IPv6:2001:DB8:0::1]",
             "a", "[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]"),
        case("RFC1035-3.1-final-dot", "a@a.example.", "a", "a.example", "a@a.example"),
        case("RFC6531-3.3", "Jürgen@a.example", "Jürgen", "a.example", "jürgen@a.example"),
        case("RFC6532-3.1-NFC", "Ju\u0308rgen@a.example",
             "Ju\u0308rgen", "a.example", "jürgen@a.example"),
        case("RFC5891-4", "a@BÜCHER.example",
             "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        case("RFC5890-2.3.2.1", "a@XN--BCHER-KVA.example",
             "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        case("RFC5321-4.5.3.1.1", f"{'x' * 64}@a.example",
             "x" * 64, "a.example", f"{'x' * 64}@a.example"),
    ],
)  # fmt: skip
def test_parse_reads(typed, local_part, domain, key):
    address = Address.parse(typed)

    assert (address.local_part, address.domain, address.key) == (local_part, domain, key)


@pytest.mark.parametrize(
    "typed",
    [
        case("RFC5321-4.1.2-no-at", "anna"),
        case("RFC5321-4.1.2-no-local-part", "@a.example"),
        case("RFC5321-4.1.2-no-domain", "anna@"),
        case("RFC5321-4.1.2-last-at-splits", "a@b@a.example"),
        case("RFC5321-4.1.2-double-dot", "a..b@a.example"),
        case("RFC5321-4.1.2-leading-dot", ".a@a.example"),
        case("RFC5321-4.1.2-trailing-dot", "a.@a.example"),
        case("RFC5321-4.1.2-space", "a b@a.example"),
        case("RFC5321-4.1.2-open-quote", '"a@a.example'),
        case("RFC5321-4.1.2-comment", "a(b)@a.example"),
        case("RFC5321-4.1.2-brackets", "<a@a.example"),
        case("RFC5321-4.1.2-control", "a\r@a.example"),
        case("RFC5321-4.1.2-quoted-control", '"a\n"@a.example'),
        case("RFC6530-C1-control", "a\u009b@a.example"),
        case("RFC5321-4.5.3.1.1-65-octets", f"{'x' * 65}@a.example"),
        case("RFC5321-4.5.3.1.1-octets-not-characters", f"{'ü' * 33}@a.example"),
        case("RFC5321-4.5.3.1.2-256-octets", "a@" + ".".join(["x" * 50] * 6)),
        case("RFC1035-2.3.1-empty-label", "a@a..example"),
        case("RFC1035-2.3.1-dots-only", "a@."),
        case("RFC1035-2.3.1-hyphen", "a@-a.example"),
        case("RFC1035-2.3.1-underscore", "a@a_b.example"),
        case("RFC1035-2.3.4-label-of-64", f"a@{'x' * 64}.example"),
        case("RFC5891-4.2.3-hyphens", "a@ü-.example"),
        case("RFC5892-2.9-unassigned", "a@\u0378.example"),
        case("RFC5321-4.1.3-no-tag", "a@[2001:db8::1]"),
        case("RFC5321-4.1.3-v4-tagged", "a@[IPv6:192.0.2.1]"),
        case("RFC5321-4.1.3-open", "a@[192.0.2.1"),
        case("RFC5321-4.1.3-octal", "a@[192.0.2.01]"),
        case("RFC4007-6-zone", "a@[IPv6:fe80::1%x\r\ny]"),
        case("RFC3629-3-surrogate", "a\udcff@a.example"),
        case("RFC3629-3-surrogate-in-domain", "a@\udcff.example"),
    ],
)  # fmt: skip
def test_parse_refuses(typed):
    with pytest.raises(AddressError):
        Address.parse(typed)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        case("RFC5321-4.5.5", "<>", None),
        case("RFC5321-4.1.2", "<a@a.example>", "a@a.example"),
        case("RFC5321-4.1.1.3-route", "<@x.example,@y.example:a@a.example>", "a@a.example"),
    ],
)  # fmt: skip
def test_parse_path_reads(path, address):
    assert parse_path(path) == (Address.parse(address) if address else None)


@pytest.mark.parametrize(
    "path",
    [
        case("RFC5321-4.1.2-open", "<a@a.example"),
        case("RFC5321-4.1.2-bare", "a@a.example"),
        case("RFC5321-4.1.2-empty", ""),
        case("RFC5321-4.5.3.1.3", f"<{'x' * 60}@{'.'.join(['y' * 48] * 4)}>"),
        case("RFC5321-4.1.1.3-route-alone", "<@x.example:>"),
    ],
)  # fmt: skip
def test_parse_path_refuses(path):
    with pytest.raises(AddressError):
        parse_path(path)


def test_postmaster_without_domain_is_told_in_any_case():
    assert is_bare_postmaster("<PostMaster>")
    assert not is_bare_postmaster("<postmaster@a.example>")


@pytest.mark.parametrize(
    ("address", "delimiters", "split"),
    [
        case("RFC5233-4", "anna+news@a.example", "+", ("anna@a.example", "+", "news")),
        case("RFC5233-4-first-wins", "anna-x+y@a.example", "+-", ("anna@a.example", "-", "x+y")),
        case("RFC5233-4-other-delimiter", "anna-x+y@a.example", "+",
             ("anna-x@a.example", "+", "y")),
        case("RFC5233-4-empty-detail", "anna+@a.example", "+", ("anna@a.example", "+", "")),
        case("RFC5233-4-folded", "Anna+News@a.example", "+", ("anna@a.example", "+", "news")),
        case("RFC5233-4-no-base", "+news@a.example", "+", None),
        case("RFC5233-4-none", "anna@a.example", "+-=_", None),
        case("RFC5233-4-switched-off", "anna+news@a.example", "", None),
    ],
)  # fmt: skip
def test_subaddress_splits(address, delimiters, split):
    found = Address.parse(address).subaddress(delimiters)

    assert (found and (found.base_key, found.delimiter, found.detail)) == split


def test_lookup_keys_cover_every_delimiter():
    keys = Address.parse("a-b+c=d_e@a.example").lookup_keys()

    assert keys == (
        "a-b+c=d_e@a.example",
        "a-b@a.example",
        "a@a.example",
        "a-b+c@a.example",
        "a-b+c=d@a.example",
    )


def test_u_label_is_shown_and_a_broken_one_left_alone():
    assert to_u_label("xn--bcher-kva.example") == "bücher.example"
    assert to_u_label("xn--a.example") == "xn--a.example"


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=10)
DOMAIN = st.lists(LABEL, min_size=2, max_size=3).map(".".join)
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
BEYOND = st.characters(min_codepoint=0xA0, max_codepoint=0x2FFFF, exclude_categories=["Cs", "Cn"])
RAW_LOCAL_PART = st.text(st.one_of(PRINTABLE, BEYOND), max_size=15)


def quoted(local_part: str) -> str:
    escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


ADDRESS = st.builds(lambda local, name: f"{quoted(local)}@{name}", RAW_LOCAL_PART, DOMAIN).filter(
    lambda text: len(text.rpartition("@")[0].encode()) <= 64
)


@given(ADDRESS)
def test_printing_what_was_parsed_reads_back_the_same(text):
    address = Address.parse(text)

    assert Address.parse(str(address)) == address


@given(ADDRESS)
def test_address_of_a_key_is_looked_up_as_the_one_that_it_is_of(text):
    address = Address.parse(text)
    again = Address.of_key(address.key)

    assert (again.key, again.domain) == (address.key, address.domain)
    assert str(again) == address.written_key


def spell_upper(local_part: str) -> str:
    return "".join(letter.upper() if letter.isascii() else letter for letter in local_part)


def spell_decomposed(local_part: str) -> str:
    return unicodedata.normalize("NFD", local_part)


@given(ADDRESS, st.sampled_from([str, spell_upper, spell_decomposed]))
def test_equal_addresses_have_equal_keys(text, spell):
    address = Address.parse(text)
    spelled = quoted(spell(address.local_part))
    assume(len(spelled.encode()) <= 64)

    assert Address.parse(f"{spelled}@{address.domain.upper()}.").key == address.key


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(ADDRESS, st.sampled_from(DELIMITER_ALPHABET))
def test_a_subaddress_s_base_is_always_looked_up(text, delimiter):
    address = Address.parse(text)
    split = address.subaddress(delimiter)

    assert split is None or split.base_key in address.lookup_keys()


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_an_address_error(text):
    for parse in (Address.parse, parse_path, parse_domain):
        try:
            parse(text)
        except AddressError:
            continue


@given(st.text(max_size=20))
def test_any_domain_text_after_an_at_is_an_address_or_an_address_error(text):
    try:
        address = Address.parse(f"a@{text}")
    except AddressError:
        return
    assert address.domain.isascii()
    assert address.domain.isprintable()
