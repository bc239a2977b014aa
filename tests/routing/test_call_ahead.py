"""Which replies mean that a mailbox is gone, and which recipients are refused for it."""

import pytest
from msgspec.structs import replace

from gateway.routing import replies
from gateway.routing.call_ahead import (
    LONGEST_WORD,
    Presence,
    Word,
    judge,
    readable,
    unasked,
    understand,
)
from gateway.routing.facts import Target
from tests.routing.memory import (
    STORE,
    alias,
    decide,
    domain,
    forward,
    mailbox,
    role,
    to_inbox,
    to_mailbox,
)

EXISTS, GONE, UNKNOWN = Presence.EXISTS, Presence.GONE, Presence.UNKNOWN
ASKING = replace(STORE, calls_ahead=True)
X = "x@a.example"


def asked(address: str = "anna@store.example.net") -> Target:
    """A mailbox at a hop that asks to be asked."""
    box = mailbox(address)
    return Target(box.id, "mailbox", mailbox=replace(box, hop=ASKING))


def words(*presences: Presence) -> list[Word]:
    return [Word(presence, f"said {presence}") for presence in presences]


@pytest.mark.parametrize(
    ("code", "text", "presence"),
    [
        (250, "2.1.5 ok", EXISTS),
        (251, "User not local; will forward", EXISTS),
        (252, "cannot verify, will try", EXISTS),
        (550, "5.1.1 <a@b> User doesn't exist", GONE),
        (550, "5.1.10 RESOLVER.ADR.RecipientNotFound", GONE),
        (550, "5.4.1 Recipient address rejected: Access denied", GONE),
        (550, "5.2.1 Mailbox disabled", GONE),
        (552, "5.2.2 Mailbox full", GONE),
        (554, "5.1.1 unknown", GONE),
        (550, "no such user", GONE),
        (553, "not here", GONE),
        (551, "moved away", GONE),
        (450, "4.2.1 busy", UNKNOWN),
        (451, "4.3.0 trouble", UNKNOWN),
        (421, "4.3.2 closing", UNKNOWN),
        (550, "5.7.1 Your address is on a list", UNKNOWN),
        (554, "5.7.1 Relay access denied", UNKNOWN),
        (530, "5.7.0 Must issue a STARTTLS command first", UNKNOWN),
        (530, "Authentication required", UNKNOWN),
        (503, "5.5.1 MAIL first", UNKNOWN),
        (500, "what?", UNKNOWN),
        (554, "5.3.0 broken", UNKNOWN),
        (554, "transaction failed", UNKNOWN),
        (354, "go on", UNKNOWN),
    ],
)
def test_only_a_refusal_about_the_mailbox_means_that_it_is_gone(code, text, presence):
    assert understand(code, text).presence is presence


@pytest.mark.parametrize(
    ("offers", "is_international", "reply"),
    [
        ([False], True, replies.HOP_WITHOUT_SMTPUTF8),
        ([True, False], True, replies.HOP_WITHOUT_SMTPUTF8),
        ([False], False, replies.ACCEPTED),
        ([True], True, replies.ACCEPTED),
        ([None], True, replies.ACCEPTED),
    ],
)
def test_internationalised_mail_is_refused_where_a_hop_is_known_not_to_take_it(
    offers, is_international, reply
):
    boxes = [asked(f"box{number}@s.example") for number, _ in enumerate(offers)]
    said = [Word(EXISTS, "250 ok", each) for each in offers]
    decision = judge(decide(X, alias(X, *boxes)), said, is_international=is_international)

    assert decision.reply == reply
    assert any(step.name == "SMTPUTF8" for step in decision.trace) is not reply.is_accepted


def test_what_a_server_says_becomes_one_short_line():
    word = understand(550, "5.1.1 no\n\x00\x1b[31msuch user " + "x" * 500)

    assert word.said.startswith("550 5.1.1 no  ")
    assert word.said.isprintable()
    assert len(word.said) == LONGEST_WORD
    assert readable("short") == "short"


@pytest.mark.parametrize(
    ("targets", "said", "reply", "presence"),
    [
        ([asked()], [EXISTS], replies.ACCEPTED, EXISTS),
        ([asked()], [GONE], replies.MAILBOX_GONE, GONE),
        ([asked()], [UNKNOWN], replies.ACCEPTED, UNKNOWN),
        ([asked(), asked("b@s.example")], [GONE, GONE], replies.MAILBOX_GONE, GONE),
        ([asked(), asked("b@s.example")], [GONE, EXISTS], replies.ACCEPTED, GONE),
        ([asked(), asked("b@s.example")], [UNKNOWN, GONE], replies.ACCEPTED, GONE),
        ([asked(), asked("b@s.example")], [EXISTS, UNKNOWN], replies.ACCEPTED, UNKNOWN),
        ([asked(), to_mailbox("b@s.example")], [GONE], replies.ACCEPTED, GONE),
        ([asked(), to_inbox()], [GONE], replies.ACCEPTED, GONE),
        ([asked(), forward("c@far.example")], [GONE], replies.ACCEPTED, GONE),
    ],
)
def test_a_recipient_is_refused_where_every_place_is_gone(targets, said, reply, presence):
    before = decide(X, alias(X, *targets))

    after = judge(before, words(*said))

    assert (after.reply, after.presence) == (reply, presence)
    if reply.is_accepted:
        assert after.destinations == before.destinations, "a mailbox that is gone fails visibly"
        assert after.takes == before.takes
    else:
        assert (after.destinations, after.takes) == ((), ())


def test_the_trace_says_who_was_asked_and_what_was_answered():
    gone = judge(decide(X, alias(X, asked())), [Word(GONE, "550 5.1.1 no such user")])

    *_, answer, end = map(str, gone.trace)
    place = "anna@store.example.net at lmtp:store.example.net:24"
    assert answer == f"call-ahead: gone ({place}: 550 5.1.1 no such user)"
    assert end == "call-ahead: refused (550 5.1.1 No such address here)"


def test_who_asks_nobody_says_who_would_be_asked():
    decision = unasked(decide(X, alias(X, asked())))

    assert decision.reply == replies.ACCEPTED
    assert str(decision.trace[-1]) == (
        "call-ahead: to be asked (anna@store.example.net at lmtp:store.example.net:24)"
    )


@pytest.mark.parametrize(
    ("recipient", "rows", "places"),
    [
        (X, [alias(X, asked())], ["anna@store.example.net"]),
        (X, [alias(X, to_mailbox())], []),
        (X, [alias(X, asked(), asked())], ["anna@store.example.net"] * 2),
        ("x+news@a.example", [alias(X, asked())], ["anna@store.example.net"]),
        (X, [alias(X, forward("y@a.example")), alias("y@a.example", asked())],
         ["anna@store.example.net"]),
        (X, [alias(X, asked(), enabled=False)], []),
        ("support@a.example", [role("support@a.example", asked())], ["anna@store.example.net"]),
        ("postmaster@a.example", [role("postmaster@a.example", asked())], []),
        ("abuse@a.example", [alias("abuse@a.example", asked())], []),
        ("postmaster@a.example",
         [role("postmaster@a.example", forward("y@a.example")), alias("y@a.example", asked())], []),
        ("postmaster@a.example",
         [domain(role_holder=replace(mailbox(), hop=ASKING))], []),
        (X, [domain(smarthost=ASKING), alias(X, forward("c@far.example"))], []),
    ],
)  # fmt: skip
def test_mailboxes_at_asking_hops_are_asked_for(recipient, rows, places):
    decision = decide(recipient, *rows)

    assert [str(place.recipient) for place in decision.called_ahead] == places
