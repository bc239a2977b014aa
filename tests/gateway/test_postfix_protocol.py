"""What Postfix says and hears: the same requests however the octets are cut."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.postfix import delegation, names, socketmap
from gateway.postfix.delegation import PolicyRequest
from gateway.postfix.reader import Reader, Request
from gateway.postfix.socketmap import Lookup, ProtocolError, Result, Status
from gateway.routing import replies
from gateway.routing.address import Address

RCPT = (
    b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
    b"helo_name=client.example\nqueue_id=\nsender=a b@x.example\nrecipient=hello@demo.example\n"
    b"recipient_count=0\nclient_address=192.0.2.7\ninstance=123.456.7\nsize=12345\n"
    b"ccert_subject=C=DE, O=x\nsomething_new=1\n\n"
)
ASKED = PolicyRequest(
    stage="RCPT",
    instance="123.456.7",
    client="192.0.2.7",
    helo="client.example",
    protocol="ESMTP",
    sender="a b@x.example",
    recipient="hello@demo.example",
    size_octets=12345,
)
SMALL = b"request=smtpd_access_policy\n"
LOOKUP = b"26:aliases hello@demo.example,"
LOOKED_UP = Lookup("aliases", "hello@demo.example")


def requests_of(chunks: list[bytes]) -> list[Request]:
    reader, requests = Reader(), []
    for chunk in chunks:
        reader.feed(chunk)
        while (request := reader.next_request()) is not None:
            requests.append(request)
    return requests


REQUESTS = {
    "look-up": (LOOKUP, [LOOKED_UP]),
    "look-ups in a row": (LOOKUP * 3, [LOOKED_UP] * 3),
    "key with spaces": (b"15:aliases a b@c.d,", [Lookup("aliases", "a b@c.d")]),
    "empty key": (b"8:aliases ,", [Lookup("aliases", "")]),
    "key with a comma": (b"13:aliases a,b@c,", [Lookup("aliases", "a,b@c")]),
    "key in UTF-8": ("12:aliases ü@c,".encode(), [Lookup("aliases", "ü@c")]),
    "octets that are no UTF-8": (b"11:aliases \xff@c,", [Lookup("aliases", "\udcff@c")]),
    "not whole": (LOOKUP[:-1], []),
    "RCPT": (RCPT, [ASKED]),
    "RCPT twice": (RCPT * 2, [ASKED, ASKED]),
    "both kinds": (RCPT + LOOKUP, [ASKED, LOOKED_UP]),
    "size not told": (SMALL + b"size=\n\n", [PolicyRequest("")]),
    "without its empty line": (RCPT[:-1], []),
}
REFUSED = {
    "length with a leading zero": b"01:a,",
    "length that never ends": b"1234567",
    "length of a giant": b"99999:aliases ",
    "no colon": b"5aliases ",
    "no comma": b"9:aliases xy",
    "no key": b"7:aliases,",
    "no table": b"2: x,",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n\n\n",
    "line without a value": b"request\n\n",
    "another protocol": b"request=other\n\n",
    "nothing but a line end": b"\n\n",
    "size in other digits": SMALL + "size=²\n\n".encode(),
    "size of a giant": SMALL + b"size=" + b"9" * 19 + b"\n\n",
    "negative size": SMALL + b"size=-1\n\n",
    "request without end": b"request=" + b"x" * delegation.REQUEST_MAX_OCTETS,
}


@pytest.mark.parametrize("case", REQUESTS)
def test_requests_are_read(case: str) -> None:
    octets, expected = REQUESTS[case]

    assert requests_of([octets]) == expected
    assert requests_of([octets[i : i + 1] for i in range(len(octets))]) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused(case: str) -> None:
    with pytest.raises(ProtocolError):
        requests_of([REFUSED[case]])


@given(st.lists(st.sampled_from([RCPT, LOOKUP]), max_size=4), st.data())
def test_cuts_change_nothing(parts: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    chunks = [octets[a:b] for a, b in pairwise([0, *cuts, len(octets)])]

    assert requests_of(chunks) == requests_of([octets])


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_requests_or_refused(octets: bytes) -> None:
    try:
        requests_of([octets])
    except ProtocolError:
        return


@pytest.mark.parametrize(
    ("result", "octets"),
    [
        (Result(Status.OK, "a@b.example"), b"14:OK a@b.example,"),
        (Result(Status.OK, "ü@b.example"), "15:OK ü@b.example,".encode()),
        (socketmap.NOT_FOUND, b"9:NOTFOUND ,"),
        (Result(Status.TEMP, "later"), b"10:TEMP later,"),
        (Result(Status.PERM, "never"), b"10:PERM never,"),
    ],
)
def test_results_are_netstrings(result: Result, octets: bytes) -> None:
    assert result.encode() == octets


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (replies.ACCEPTED, b"action=DUNNO\n\n"),
        (replies.UNKNOWN_ADDRESS, b"action=550 5.1.1 No such address here\n\n"),
        (replies.TROUBLE, b"action=451 4.3.0 Local trouble, please try again later\n\n"),
    ],
)
def test_actions_say_the_reply(reply: replies.Reply, octets: bytes) -> None:
    assert delegation.action(reply) == octets


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("hello@demo.example", "hello@demo.example"),
        ("a b@demo.example", '"a b"@demo.example'),
        ("u@far.example@demo.example", '"u@far.example"@demo.example'),
        ('"x"@demo.example', '"\\"x\\""@demo.example'),
    ],
)
def test_internal_form_is_quoted(text: str, written: str) -> None:
    assert str(names.parse_internal(text)) == written


@pytest.mark.parametrize("key", ["", "hello", "@demo.example", "a\x00b@demo.example", "\udcff@c.d"])
def test_keys_that_are_no_address(key: str) -> None:
    assert names.parse_key(key) is None


def test_key_may_be_quoted_or_not() -> None:
    assert names.parse_key('"a b"@c.example') == names.parse_key("a b@c.example")


JO = Address.parse("Jo.x=y@Store.example")


def test_mailbox_names_are_read_back_whatever_their_case() -> None:
    name = names.mailbox_name(42, JO, secrets=[b"older"])

    assert names.is_mailbox_name(name.upper())
    assert names.read_mailbox_name(name.upper(), secrets=[b"new", b"older"]) == 42


def test_pattern_gives_a_mailbox_its_address_back() -> None:
    name = names.mailbox_name(42, JO, secrets=[b"new"])

    found = re.match(names.MAILBOX_PATTERN, name)

    assert found is not None
    assert f"{found[1]}@{found[2]}" == "Jo.x=y@store.example"


@pytest.mark.parametrize(
    ("address", "can"),
    [
        ("jo@store.example", True),
        ("o'neil+x@store.example", True),
        ('"a b"@store.example', False),
        ("jö@store.example", False),
        ("jo@störe.example", True),  # an A-label by then
        ("jo@[192.0.2.7]", False),
    ],
)
def test_mailboxes_that_need_no_quotes_can_be_named(address: str, *, can: bool) -> None:
    assert names.can_be_named(Address.parse(address)) == can


@pytest.mark.parametrize(
    "text",
    [
        names.mailbox_name(42, JO, secrets=[b"of somebody else"]),
        names.mailbox_name(42, JO, secrets=[b"new"]).replace("=42-", "=43-"),
        names.mailbox_name(42, JO, secrets=[b"new"]).replace("Jo", "ceo"),
        names.mailbox_name(42, JO, secrets=[b"new"]).replace("mailbox.", "mailboxes."),
        f"42@{names.MAILBOX_DOMAIN}",
        f"a=b=²-x@{names.MAILBOX_DOMAIN}",
        f"a=b={'9' * 30}-x@{names.MAILBOX_DOMAIN}",
        f"\udcff=b=1-x@{names.MAILBOX_DOMAIN}",
    ],
)
def test_names_of_others_are_no_mailbox(text: str) -> None:
    assert names.read_mailbox_name(text, secrets=[b"new"]) is None
