"""What a pasted text is taken for, whatever mail programs and people put around it."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search.question import read

ADDRESS = "sales@xn--mnchen-3ya.example"
IDENTIFIER = UUID("019a2f6e-7c11-7abc-8def-0123456789ab")


@pytest.mark.parametrize(
    "pasted",
    [
        "sales@münchen.example",
        "  sales@münchen.example \n",
        "Sales@MÜNCHEN.Example",
        "sales@xn--mnchen-3ya.example.",
        "<sales@münchen.example>",
        "mailto:sales@münchen.example",
        "MAILTO:Sales@münchen.example?subject=Hello%20there",
        "mailto:sales%40m%C3%BCnchen.example",
        '"Sales, North" <sales@münchen.example>',
        "Sales <sales@münchen.example>,",
        "RCPT TO:<sales@münchen.example>",
        "Final-Recipient: rfc822; sales@xn--mnchen-3ya.example",
        "Final-Recipient: utf-8;sales@münchen.example",
        "To: Sales <mailto:sales@münchen.example>",
        "“sales@münchen.example”",
        "'sales@münchen.example'",
        "(sales@münchen.example).",
        "sales\u200b@münchen.example\ufeff",
        "sales @ münchen.example",
        "sales@\nmünchen.example",
        "\u00a0sales@münchen.example;",
    ],
)
def test_an_address_is_read_however_it_is_pasted(pasted: str) -> None:
    question = read(pasted)
    assert question.address is not None
    assert question.address.key == ADDRESS
    assert question.beginning == ADDRESS


@pytest.mark.parametrize(
    ("pasted", "beginning", "domain"),
    [
        ("sal", "sal", "sal"),
        ("Sales@", "sales@", ""),
        ("sales@exa", "sales@exa", ""),
        ("sales@münchen.ex", "sales@xn--mnchen-3ya.ex", ""),
        ("sales@example.", "sales@example", ""),
        ("example.com", "example.com", "example.com"),
        ("@Example.COM", "", "example.com"),
        ("münchen.example", "münchen.example", "xn--mnchen-3ya.example"),
        ("Northwind Traders", "northwindtraders", ""),
        ('"john doe"@x.example', "john doe@x.example", ""),
    ],
)
def test_a_beginning_is_written_as_it_is_stored(pasted: str, beginning: str, domain: str) -> None:
    question = read(pasted)
    assert question.domain == domain
    if '"' not in pasted:
        assert question.beginning == beginning
    else:
        assert question.address is not None
        assert question.address.key == beginning


@pytest.mark.parametrize(
    ("pasted", "word"),
    [
        ("1zrqdnctZngj2ygF", "1zrqdnctZngj2ygF"),
        (" 250 2.0.0 Ok: queued as 1zrqdnctZngj2ygF ", "1zrqdnctZngj2ygF"),
        ("status=sent (250 2.0.0 Ok: queued as 1zrqdnctZngj2ygF)", "1zrqdnctZngj2ygF"),
        ("two words", ""),
    ],
)
def test_a_queue_id_keeps_its_case(pasted: str, word: str) -> None:
    assert read(pasted).word == word


@pytest.mark.parametrize(
    "pasted",
    ["<A.b+C@far.example>", "Message-ID: <A.b+C@far.example>", "A.b+C@far.example"],
)
def test_a_message_id_keeps_its_case_and_is_looked_up_both_ways(pasted: str) -> None:
    assert read(pasted).message_ids == ("A.b+C@far.example", "<A.b+C@far.example>")


@pytest.mark.parametrize("pasted", [str(IDENTIFIER), f"X-Delivery-ID: {IDENTIFIER}".upper()])
def test_the_id_of_a_delivery_is_read(pasted: str) -> None:
    assert read(pasted).identifier == IDENTIFIER


def test_a_tenant_s_name_keeps_its_spaces() -> None:
    assert read("  Northwind   Traders ").name == "northwind traders"


@pytest.mark.parametrize("pasted", ["", "   ", "<>", "\u200b", "\0", '""', "mailto:"])
def test_nothing_is_no_question(pasted: str) -> None:
    question = read(pasted)
    assert (question.text, question.address, question.beginning) == ("", None, "")


@given(st.text(max_size=200))
def test_whatever_is_pasted_is_read(pasted: str) -> None:
    question = read(pasted)
    assert "\0" not in question.text
    assert read(question.text).text.strip() in question.text
