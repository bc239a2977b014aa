"""SRS: the way back from a forward, and nothing that we did not sign ourselves."""

from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.routing.address import Address
from gateway.routing.srs import (
    SrsError,
    is_return_path,
    opaque,
    read_opaque,
    reverse,
    rewrite,
)
from tests.routing.test_address import ADDRESS

SECRET, OLD = b"new", b"old"
DAY = 739_000


def there(sender: str, *, day: int = DAY, secret: bytes = SECRET, by: str = "b.example") -> Address:
    return rewrite(Address.parse(sender), bounce_domain=by, secret=secret, day=day)


def back(path: Address | str, *, day: int = DAY) -> str:
    local_part = path if isinstance(path, str) else path.local_part
    return str(reverse(local_part, secrets=(SECRET, OLD), day=day))


@pytest.mark.parametrize(
    "sender",
    [
        "anna@far.example",
        "a=b=c@far.example",
        "a==b@far.example",
        "list+anna=far.example@x.example",
        '"a b"@far.example',
        '"a@b"@far.example',
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "jürgen@far.example",
        "Anna@far.example",
    ],
)
def test_a_bounce_finds_its_sender(sender):
    assert back(there(sender)) == str(Address.parse(sender))


@given(ADDRESS)
def test_every_rewritten_path_leads_back(sender):
    try:
        path = there(sender)
    except SrsError:
        return  # too long: an opaque path is issued instead
    assert reverse(path.local_part, secrets=[SECRET], day=DAY) == Address.parse(sender)


def test_a_path_already_rewritten_goes_back_to_the_first_hop():
    first = there("anna@far.example", secret=b"theirs", by="hop.example")
    second = there(str(first))

    assert second.local_part.startswith("SRS1=")
    assert back(second) == str(first)


def test_a_third_hop_keeps_the_first():
    first = there("anna@far.example", secret=b"theirs", by="hop.example")
    second = there(str(first), secret=b"also theirs", by="two.example")

    assert back(there(str(second))) == str(first)


def test_our_own_path_is_not_rewritten_again():
    path = there("anna@far.example")

    assert there(str(path)) == path


def test_a_path_survives_folded_case():
    assert back(there("Anna@far.example").local_part.upper()) == "ANNA@far.example"


@pytest.mark.parametrize(("days", "is_valid"), [(0, True), (21, True), (22, False), (-1, False)])
def test_a_path_expires(days, is_valid):
    path = there("anna@far.example")
    if is_valid:
        assert back(path, day=DAY + days) == "anna@far.example"
    else:
        with pytest.raises(SrsError, match="expired"):
            back(path, day=DAY + days)


def test_the_day_s_number_may_wrap():
    path = there("anna@far.example", day=1023)

    assert back(path, day=1024) == "anna@far.example"


def test_an_older_secret_is_still_accepted():
    assert back(there("anna@far.example", secret=OLD)) == "anna@far.example"


def test_a_strangers_secret_is_not():
    with pytest.raises(SrsError, match="signature"):
        back(there("anna@far.example", secret=b"stranger"))


@given(st.integers(0, 60), st.characters(codec="utf-8"))
def test_tampering_is_noticed(place, letter):
    text = there("anna@far.example").local_part
    tampered = text[:place] + letter + text[place + 1 :]
    assume(tampered.lower() != text.lower())

    with pytest.raises(SrsError):
        back(tampered)


@given(st.text(max_size=64))
def test_any_text_is_a_return_path_or_an_srs_error(text):
    for attempt in (text, f"SRS0={text}", f"SRS1={text}"):
        with pytest.raises(SrsError):
            back(attempt)


def test_too_long_a_sender_is_refused_here():
    with pytest.raises(SrsError, match="64 octets"):
        there(f"{'x' * 40}@a-long-domain.example")


def test_return_paths_are_told_by_their_tag():
    assert is_return_path("srs0=x")
    assert not is_return_path("srs0")


def test_an_opaque_path_names_its_delivery_and_is_signed():
    delivery = UUID("0190f3a2-0000-7000-8000-000000000001")
    path = opaque(delivery, bounce_domain="b.example", secret=SECRET)

    assert read_opaque(path.local_part.upper(), secrets=(SECRET,)) == delivery
    for wrong in (f"{path.local_part}a", "R0=é=x", "R0=", ""):
        with pytest.raises(SrsError):
            read_opaque(wrong, secrets=(SECRET,))
