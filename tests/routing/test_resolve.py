"""resolve(): each row of the reply table, the order of look-up, forwards hosted here, and its end.

A case is one line: the rows that exist, who writes to whom, and what is answered.
"""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing import policy, replies, srs
from gateway.routing.address import Address
from gateway.routing.authentication import Ask, Demand, OnFailure
from gateway.routing.content_filter import TenantFilter
from gateway.routing.facts import (
    DomainState,
    RuleAction,
    Session,
    SubaddressRule,
    Target,
    TenantState,
    Usage,
)
from gateway.routing.resolve import MAX_DEPTH, MAX_WIDTH, resolve, resolve_postmaster
from tests.routing.memory import (
    NOW,
    OTHER,
    PLATFORM,
    SECRET,
    SMARTHOST,
    MemoryDirectory,
    alias,
    decide,
    domain,
    forward,
    mailbox,
    recipients_of,
    refusing,
    role,
    tenant,
    to_inbox,
    to_mailbox,
)

HOUR = timedelta(hours=1)
X = "x@a.example"
FAR = "someone@far.example"


def customer(**fields):
    return domain(tenant=tenant(**fields))


def suspended(hours: float):
    return customer(state=TenantState.SUSPENDED, state_since=NOW - hours * HOUR)


def x(**fields):
    return alias(X, to_inbox(), id=7, **fields)


REPLY_TABLE = {
    # design: case -> rows, keywords of decide(), reply
    "unknown address": ([domain()], {}, "550 5.1.1"),
    "not our domain": ([domain("b.example"), x()], {}, "550 5.7.1"),
    "pending": ([domain(state=DomainState.PENDING), x()], {}, "550 5.7.1"),
    "released": ([domain(state=DomainState.RELEASED), x()], {}, "550 5.7.1"),
    "degraded receives": ([domain(state=DomainState.DEGRADED), x()], {}, "250 2.1.5"),
    "disabled": ([x(enabled=False)], {}, "550 5.2.1"),
    "expired": ([x(expires_at=NOW)], {}, "550 5.2.1"),
    "looks unknown": ([domain(hides_disabled=True), x(enabled=False)], {}, "550 5.1.1"),
    "tenant closed": ([customer(state=TenantState.CLOSED), x()], {}, "550 5.2.1"),
    "tenant suspended": ([suspended(hours=71), x()], {}, "450 4.2.1"),
    "tenant suspended for long": ([suspended(hours=72), x()], {}, "550 5.2.1"),
    "suspended for abuse": (
        [customer(state=TenantState.SUSPENDED_FOR_ABUSE), x()], {}, "550 5.7.1"),
    "sender not allowed": ([x(allowed_senders=("@b.example",))], {}, "550 5.7.1"),
    "null sender where a list stands": (
        [x(allowed_senders=("@b.example",))], {"sender": None}, "550 5.7.1"),
    "null sender without a list": ([x()], {"sender": None}, "250 2.1.5"),
    "rate of an address": ([x(rate_per_hour=3)], {"usage": {"rate:address:7": 3}}, "450 4.2.1"),
    "tenant's messages": (
        [customer(messages_per_hour=9), x()], {"usage": {"rate:tenant:1": 9}}, "450 4.7.1"),
    "storage": (
        [customer(stored_octets_limit=9), x()], {"usage": {"stored:tenant:1": 9}}, "450 4.2.2"),
    "storage full for days": (
        [customer(stored_octets_limit=9), x()],
        {"usage": {"stored:tenant:1": Usage(9, NOW - 80 * HOUR)}},
        "552 5.2.2",
    ),
    "address's size": ([x(max_message_octets=100)], {"size": 101}, "552 5.2.3"),
    "tenant's size": ([customer(max_message_octets=100), x()], {"size": 101}, "552 5.2.3"),
    "system's size": ([x()], {"size": 50_000_001}, "552 5.3.4"),
    "allow-policy": ([domain(local_part_pattern="[0-9]+"), x()], {}, "550 5.7.1"),
    "loop": ([alias(X, forward(X))], {}, "554 5.4.6"),
    "nowhere to deliver to": ([alias(X)], {}, "550 5.1.1"),
    "accepted": ([x()], {}, "250 2.1.5"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "asked", "reply"), REPLY_TABLE.values(), ids=REPLY_TABLE)
def test_reply_table(rows, asked, reply):
    decision = decide(X, *rows, **asked)

    assert str(decision.reply).startswith(reply)
    assert bool(decision.destinations) is decision.reply.is_accepted
    assert decision.trace[-1].name == "reply"


def test_size_is_refused_in_rfc_1870_s_words():
    reply = decide(X, x(max_message_octets=1), size=2).reply

    assert reply.text == "Message size exceeds fixed limit"


# --- relaying, in every spelling (failure modes: open relay) ---------------


@pytest.mark.parametrize(
    "recipient",
    [
        "user%far.example@far.example",
        '"user@far.example"@far.example',
        "far.example!user@far.example",
        "user@[192.0.2.1]",
        "user@far.example.",
        "USER@FAR.EXAMPLE",
        "user@sub.a.example",
    ],
)
def test_a_foreign_domain_is_never_relayed_to(recipient):
    assert decide(recipient, x()).reply == replies.RELAY_DENIED


@pytest.mark.parametrize(
    "local_part", ["user%far.example", '"user@far.example"', "far.example!user", "x%a.example"]
)
def test_a_route_hidden_in_a_local_part_is_just_unknown(local_part):
    assert decide(f"{local_part}@a.example", x()).reply == replies.UNKNOWN_ADDRESS


@pytest.mark.parametrize("recipient", ["X@A.EXAMPLE.", "x@a.example", '"x"@a.example'])
def test_any_spelling_of_an_address_finds_it(recipient):
    assert decide(recipient, x()).rule == "alias x@a.example"


# --- order of resolution ---------------------------------------------------

PLUS = "x+tag@a.example"


@pytest.mark.parametrize(
    ("recipient", "rows", "strategy", "rule"),
    [
        (PLUS, [alias(PLUS, to_inbox()), x()], "alias", f"alias {PLUS}"),
        (PLUS, [x()], "subaddress", "alias x@a.example"),
        ("x-tag@a.example", [x()], "unknown", "domain a.example"),
        ("x-tag@a.example", [domain(delimiters="+-"), x()], "subaddress", "alias x@a.example"),
        (PLUS, [domain(delimiters=""), x()], "unknown", "domain a.example"),
        ("sales@a.example", [role("sales@a.example")], "role", "role sales"),
        ("sales@a.example", [], "unknown", "domain a.example"),
        ("sales+x@a.example", [role("sales@a.example")], "subaddress", "role sales"),
        ("abuse@a.example", [], "role", "role abuse"),
        ("PostMaster@a.example", [], "role", "role postmaster"),
        ("abuse+x@a.example", [], "unknown", "domain a.example"),
        ("abuse@a.example", [alias("abuse@a.example", to_inbox())], "alias",
         "alias abuse@a.example"),
        ("abuse@a.example", [alias("abuse@a.example", enabled=False)], "role", "role abuse"),
        ("abuse@a.example", [alias("abuse@a.example", expires_at=NOW)], "role", "role abuse"),
    ],
)  # fmt: skip
def test_first_hit_wins(recipient, rows, strategy, rule):
    decision = decide(recipient, *rows)

    assert (decision.strategy, decision.rule) == (strategy, rule)


@pytest.mark.parametrize("name", ["postmaster", "abuse"])
@pytest.mark.parametrize(
    "home",
    [
        customer(state=TenantState.CLOSED),
        customer(state=TenantState.SUSPENDED_FOR_ABUSE),
        customer(messages_per_hour=0, stored_octets_limit=0, max_message_octets=1),
        domain(local_part_pattern="[0-9]+", local_part_max_octets=1),
    ],
    ids=["closed", "suspended", "over quota", "allow-policy"],
)
def test_no_policy_applies_to_postmaster_and_abuse(name, home):
    assert decide(f"{name}@a.example", home, size=1000).reply == replies.ACCEPTED


@pytest.mark.parametrize("kind", [alias, role])
def test_no_sender_list_keeps_anyone_from_postmaster(kind):
    row = kind("postmaster@a.example", to_inbox(), allowed_senders=("@b.example",), rate_per_hour=0)
    decision = decide("postmaster@a.example", row)

    assert decision.reply == replies.ACCEPTED
    assert [take.limit for take in decision.takes] == [None]


def test_size_of_the_system_holds_for_postmaster_too():
    assert decide("postmaster@a.example", size=10**9).reply == replies.SYSTEM_SIZE


@pytest.mark.parametrize(
    ("rows", "destination"),
    [
        ([role("abuse@a.example", to_mailbox("own@store.example.net"))], "own@store.example.net"),
        ([role("abuse@a.example", holder=mailbox("held@store.example.net"))],
         "held@store.example.net"),
        ([domain(role_holder=mailbox("holder@store.example.net"))], "holder@store.example.net"),
        ([domain(role_holder=mailbox("holder@store.example.net")), role("abuse@a.example")],
         "holder@store.example.net"),
        ([], "inbox"),
    ],
    ids=["own target", "own holder", "domain's holder", "row without holder", "stored"],
)  # fmt: skip
def test_a_role_goes_to_whoever_holds_it(rows, destination):
    assert recipients_of(decide("abuse@a.example", *rows)) == [destination]


HELD = domain(role_holder=mailbox("holder@store.example.net"))
Y, Z = "y@a.example", "z@a.example"
INNER = {
    "disabled": [alias(Y, to_inbox(), enabled=False)],
    "over its rate": [alias(Y, to_inbox(), rate_per_hour=0)],
    "too large": [alias(Y, to_inbox(), max_message_octets=1)],
    "unknown": [],
    "without a target": [alias(Y)],
    "in a circle": [alias(Y, forward(Y))],
}


@pytest.mark.parametrize("kind", [alias, role])
@pytest.mark.parametrize("name", ["postmaster", "abuse"])
@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_postmaster_and_abuse_fall_back_to_the_holder_where_their_target_refuses(name, kind, inner):
    row = kind(f"{name}@a.example", forward(Y))
    decision = decide(row.key, HELD, row, *inner, size=1000)

    assert decision.reply == replies.ACCEPTED
    assert recipients_of(decision) == ["holder@store.example.net"]
    assert recipients_of(decide(row.key, row, *inner, size=1000)) == ["inbox"]


def test_an_alias_called_postmaster_without_targets_falls_back_too():
    assert recipients_of(decide("postmaster@a.example", alias("postmaster@a.example"))) == ["inbox"]


def test_a_target_that_makes_postmaster_wait_keeps_no_other_from_its_mail():
    row = alias("postmaster@a.example", forward(Y), to_mailbox("own@store.example.net"))
    decision = decide(row.key, HELD, row, alias(Y, to_inbox(), rate_per_hour=0))

    assert recipients_of(decision) == ["own@store.example.net", "holder@store.example.net"]


def test_what_inner_addresses_ask_and_limit_is_not_held_against_postmaster():
    row = alias("postmaster@a.example", forward(Y))
    inner = alias(
        Y, to_inbox(), rate_per_hour=9, max_message_octets=9, ask=Ask(Demand.DKIM), id=7,
        accepts_forwards_from=("a.example",),
    )  # fmt: skip
    home = domain(tenant=tenant(messages_per_hour=9, filter=TenantFilter(True)))
    platform = replace(PLATFORM, on_unfiltered=OnFailure.REJECT)
    decision = decide(row.key, home, row, inner, platform=platform)

    assert (decision.asks, decision.filters, decision.max_octets) == ((), (), None)
    assert {take.counter: take.limit for take in decision.takes} == {
        "rate:address:7": None,
        "rate:tenant:1": None,
        "stored:tenant:1": None,
    }


def test_a_disabled_role_address_other_than_the_two_is_refused():
    row = role("sales@a.example", to_inbox(), enabled=False)

    assert decide("sales@a.example", row).reply == replies.ADDRESS_DISABLED


def test_postmaster_without_a_domain_is_the_platform_s():
    decision = resolve_postmaster(Session(None), MemoryDirectory().all)

    assert decision.reply == replies.ACCEPTED
    assert recipients_of(decision) == ["inbox"]


# --- subaddress rules ------------------------------------------------------

RETARGET = {"sales": SubaddressRule(RuleAction.RETARGET, (to_mailbox("sales@store.example.net"),))}
DELIVER = {"news": SubaddressRule(RuleAction.DELIVER)}


@pytest.mark.parametrize(
    ("detail", "rules", "reply", "places"),
    [
        ("spam", refusing("spam"), replies.UNKNOWN_ADDRESS, []),
        ("SPAM", refusing("spam"), replies.UNKNOWN_ADDRESS, []),
        ("ham", refusing("spam"), replies.ACCEPTED, ["inbox"]),
        ("", refusing(""), replies.UNKNOWN_ADDRESS, []),
        ("news", DELIVER, replies.ACCEPTED, ["inbox"]),
        ("sales", RETARGET, replies.ACCEPTED, ["sales@store.example.net"]),
        ("sales", {"sales": SubaddressRule(RuleAction.RETARGET)}, replies.DEAD_END, []),
    ],
)
def test_subaddress_rules(detail, rules, reply, places):
    decision = decide(f"x+{detail}@a.example", x(rules=rules))

    assert decision.reply == reply
    assert recipients_of(decision) == places
    assert decision.detail == detail.lower()


def test_a_refused_detail_leaves_the_address_itself_alone():
    assert decide(X, x(rules=refusing("spam"))).reply == replies.ACCEPTED


def test_policies_of_the_base_hold_for_its_details():
    assert decide(PLUS, x(enabled=False)).reply == replies.ADDRESS_DISABLED


# --- targets, and forwards hosted here -------------------------------------


def test_targets_become_destinations_in_order():
    decision = decide(X, alias(X, to_mailbox("b@store.example.net"), forward(FAR), to_inbox()))
    box, remote, stored = decision.destinations

    assert recipients_of(decision) == ["b@store.example.net", FAR, "inbox"]
    assert (box.hop.host, box.rewrites_sender) == ("store.example.net", False)
    assert (remote.hop, remote.rewrites_sender) == (SMARTHOST, True)
    assert stored.hop is None


def test_a_domain_s_own_smarthost_takes_its_forwards():
    own = replace(SMARTHOST, id=9, host="own.example.net")

    decision = decide(X, domain(smarthost=own), alias(X, forward(FAR)))

    assert decision.destinations[0].hop == own


def test_a_forward_hosted_here_resolves_on():
    inner = alias("y@a.example", to_mailbox("y@store.example.net"))
    decision = decide(X, alias(X, forward("y+tag@a.example")), inner)

    assert recipients_of(decision) == ["y@store.example.net"]
    assert decision.rule == "alias x@a.example"


def test_two_ways_to_one_place_deliver_once():
    box = to_mailbox("y@store.example.net")
    rows = [
        alias(X, forward("l@a.example"), forward("r@a.example")),
        alias("l@a.example", forward("y@a.example")),
        alias("r@a.example", forward("y@a.example")),
        alias("y@a.example", box),
    ]

    assert recipients_of(decide(X, *rows)) == ["y@store.example.net"]


@pytest.mark.parametrize("state", [DomainState.PENDING, DomainState.RELEASED])
def test_a_claim_that_is_not_verified_takes_nobody_s_forward(state):
    claim = domain("far.example", tenant=OTHER, state=state)

    assert recipients_of(decide(X, domain(), claim, alias(X, forward(FAR)))) == [FAR]


INNER = "y@a.example"


@pytest.mark.parametrize(
    ("inner", "reply"),
    [
        (alias(INNER, to_inbox(), enabled=False), replies.ADDRESS_DISABLED),
        (alias(INNER, to_inbox(), expires_at=NOW), replies.ADDRESS_EXPIRED),
        (alias(INNER, to_inbox(), rate_per_hour=0), replies.RATE_EXCEEDED),
        (alias(INNER, to_inbox(), max_message_octets=1), replies.ADDRESS_SIZE),
        (alias(INNER), replies.DEAD_END),
        (alias("z@a.example", to_inbox()), replies.UNKNOWN_ADDRESS),
        (alias(INNER, to_inbox(), allowed_senders=("@b.example",)), replies.ACCEPTED),
    ],
)
def test_inner_addresses_keep_their_policies_but_for_senders(inner, reply):
    assert decide(X, alias(X, forward(INNER)), inner, size=100).reply == reply


def test_one_dead_target_does_not_stop_the_others():
    rows = [alias(X, forward(INNER), to_inbox()), alias(INNER, to_inbox(), enabled=False)]
    decision = decide(X, *rows)

    assert decision.reply == replies.ACCEPTED
    assert recipients_of(decision) == ["inbox"]
    assert any("Address is disabled" in str(step) for step in decision.trace)


def test_one_target_that_must_wait_makes_all_wait():
    rows = [alias(X, to_inbox(), forward(INNER)), alias(INNER, to_inbox(), rate_per_hour=0)]

    assert decide(X, *rows).reply == replies.RATE_EXCEEDED


@pytest.mark.parametrize(
    ("accepts", "sender", "reply"),
    [
        ((), FAR, replies.SENDER_NOT_ALLOWED),
        (("c.example",), FAR, replies.SENDER_NOT_ALLOWED),
        (("a.example",), FAR, replies.ACCEPTED),
        ((), "friend@b.example", replies.ACCEPTED),
    ],
)
def test_another_tenant_s_list_is_asked_unless_it_agreed(accepts, sender, reply):
    there = domain("b.example", tenant=OTHER)
    inner = alias(
        "y@b.example", to_inbox(), allowed_senders=("@b.example",), accepts_forwards_from=accepts
    )
    decision = decide(X, domain(), there, alias(X, forward("y@b.example")), inner, sender=sender)

    assert decision.reply == reply


def test_another_tenant_s_state_counts_for_its_address():
    there = domain("b.example", tenant=replace(OTHER, state=TenantState.CLOSED))
    rows = [domain(), there, alias(X, forward("y@b.example")), alias("y@b.example", to_inbox())]

    assert decide(X, *rows).reply == replies.TENANT_CLOSED


def test_environments_never_talk_across():
    rows = [
        domain(),
        domain("staging.example", environment="staging"),
        alias(X, forward("y@staging.example")),
        alias("y@staging.example", to_inbox()),
    ]

    assert decide(X, *rows).reply == replies.NOT_ALLOWED_HERE


def test_an_environment_that_is_not_served_is_refused():
    only = replace(PLATFORM, environments=frozenset({"staging"}))

    assert decide(X, x(), platform=only).reply == replies.NOT_ALLOWED_HERE


def chain(length: int):
    links = [alias(f"{n}@a.example", forward(f"{n + 1}@a.example")) for n in range(length)]
    return [*links, alias(f"{length}@a.example", to_inbox())]


@pytest.mark.parametrize(
    ("forwards", "reply"), [(MAX_DEPTH, replies.ACCEPTED), (MAX_DEPTH + 1, replies.LOOP)]
)
def test_ten_forwards_in_a_row_are_followed(forwards, reply):
    assert decide("0@a.example", *chain(forwards)).reply == reply


def boxes(count: int):
    return [to_mailbox(f"{n}@store.example.net") for n in range(count)]


def test_a_hundred_destinations_are_all_taken():
    decision = decide(X, alias(X, *boxes(MAX_WIDTH)))

    assert decision.reply == replies.ACCEPTED
    assert len(decision.destinations) == MAX_WIDTH


def many_inner():
    names = [f"{n}@a.example" for n in range(MAX_WIDTH + 1)]
    return [alias(X, *map(forward, names)), *(alias(name, to_inbox()) for name in names)]


@pytest.mark.parametrize(
    "rows",
    [
        [alias(X, *boxes(MAX_WIDTH + 1))],
        [alias(X, forward(INNER)), alias(INNER, *boxes(MAX_WIDTH + 1))],
        [alias(X, forward(INNER), to_inbox()), alias(INNER, *boxes(MAX_WIDTH))],
        many_inner(),
    ],
)
def test_an_address_with_more_destinations_waits_and_loses_none(rows):
    decision = decide(X, *rows)

    assert decision.reply == replies.TOO_WIDE
    assert decision.destinations == ()
    assert any(step.outcome == "cut" for step in decision.trace)


def test_an_address_that_was_followed_before_widens_nothing():
    rows = [alias(X, forward(INNER), forward(INNER)), alias(INNER, *boxes(MAX_WIDTH))]

    assert decide(X, *rows).reply == replies.ACCEPTED


def test_a_loop_is_cut_and_what_lies_beside_it_delivered():
    rows = [alias(X, forward(INNER), to_inbox()), alias(INNER, forward(X))]
    decision = decide(X, *rows)

    assert recipients_of(decision) == ["inbox"]
    assert any(step.note == f"{X} → {INNER} → {X}" for step in decision.trace)


def test_everyone_forwarding_to_everyone_ends():
    names = [f"{n}@a.example" for n in range(40)]
    rows = [alias(name, *map(forward, names)) for name in names]

    assert decide(names[0], *rows).reply == replies.LOOP


# --- what is charged -------------------------------------------------------


def test_takes_name_every_counter_on_the_way_once():
    rows = [
        customer(messages_per_hour=50, stored_octets_limit=900),
        alias(X, forward(INNER), id=7, rate_per_hour=5, max_message_octets=300),
        alias(INNER, to_inbox(), id=8, rate_per_hour=6, max_message_octets=200),
    ]
    decision = decide(X, *rows)

    assert [(take.counter, take.limit) for take in decision.takes] == [
        (policy.rate_counter(7), 5),
        (policy.rate_counter(8), 6),
        (policy.tenant_rate_counter(1), 50),
        (policy.storage_counter(1), 900),
    ]
    assert decision.max_octets == 200


def test_octets_are_charged_to_the_tenant_that_was_written_to_alone():
    """Its routing record is what gives them back when the body goes."""
    rows = [
        domain(),
        domain("b.example", tenant=OTHER),
        alias(X, forward("y@b.example")),
        alias("y@b.example", to_inbox(), id=8, accepts_forwards_from=("a.example",)),
    ]

    assert [take.counter for take in decide(X, *rows).takes] == [policy.storage_counter(1)]


def test_an_inner_address_that_takes_nothing_is_not_charged():
    rows = [alias(X, to_inbox(), forward(INNER)), alias(INNER, id=8, rate_per_hour=6)]

    assert [take.counter for take in decide(X, *rows).takes] == ["stored:tenant:1"]


def test_a_refused_recipient_charges_nobody():
    assert decide(X, x(rate_per_hour=5, enabled=False)).takes == ()


# --- return paths ----------------------------------------------------------


def test_postmaster_of_the_bounce_domain_is_the_platforms():
    decision = decide(f"Postmaster@{PLATFORM.bounce_domain}")

    assert (decision.reply, decision.rule) == (replies.ACCEPTED, "postmaster")


def return_path(sender: str, *, days_ago: int = 0) -> str:
    day = NOW.toordinal() - days_ago
    domain_name = PLATFORM.bounce_domain
    rewritten = srs.rewrite(
        Address.parse(sender), bounce_domain=domain_name, secret=SECRET, day=day
    )
    return str(rewritten)


def test_a_bounce_goes_back_to_the_original_sender():
    decision = decide(return_path(FAR), sender=None)
    (place,) = decision.destinations

    assert decision.strategy == "return path"
    assert (str(place.recipient), place.hop, place.null_sender) == (FAR, SMARTHOST, True)
    assert decision.tenant_id is None


@pytest.mark.parametrize(
    ("recipient", "sender", "reply"),
    [
        (return_path(FAR), FAR, replies.RETURN_PATH_ONLY),
        (return_path(FAR, days_ago=22), None, replies.UNKNOWN_ADDRESS),
        ("srs0=aaaaaaaa=aa=far.example=x@bounce.example.net", None, replies.UNKNOWN_ADDRESS),
        ("srs0=é=aa=far.example=x@bounce.example.net", None, replies.UNKNOWN_ADDRESS),
        ("anyone@bounce.example.net", None, replies.UNKNOWN_ADDRESS),
    ],
)
def test_the_bounce_domain_takes_only_bounces_that_it_asked_for(recipient, sender, reply):
    assert decide(recipient, sender=sender).reply == reply


def test_an_opaque_return_path_is_known_by_its_row():
    path = Address.parse("r0=abc=def@bounce.example.net")
    facts = replace(MemoryDirectory().all, return_paths={path.key: Address.parse(FAR)})

    assert recipients_of(resolve(path, Session(None), facts)) == [FAR]


@pytest.mark.parametrize(("name", "reply"), [("x", replies.TOO_WIDE), ("abuse", replies.ACCEPTED)])
def test_a_forward_that_was_not_read_is_waited_for(name, reply):
    row = alias(f"{name}@a.example", forward("y@b.example"))
    facts = replace(MemoryDirectory(domain(), row).all, unread=frozenset({"y@b.example"}))

    assert resolve(Address.parse(row.key), Session(None), facts).reply == reply


# --- any graph at all ------------------------------------------------------

NAMES = [f"{n}@{host}.example" for host in ("a", "b", "c") for n in range(5)] + ["abuse@a.example"]
ANY_TARGET = st.one_of(
    st.sampled_from([*NAMES, "0+x@a.example", FAR, "abuse@b.example"]).map(forward),
    st.just(Target(1, "inbox")),
)
ANY_ROW = st.builds(
    lambda key, targets, senders, rate, kind: kind(
        key, *targets, allowed_senders=senders, rate_per_hour=rate, rules=refusing("x")
    ),
    st.sampled_from(NAMES),
    st.lists(ANY_TARGET, max_size=4),
    st.sampled_from([(), ("@far.example",), ("<>",)]),
    st.sampled_from([None, None, 0, 5]),
    st.sampled_from([alias, alias, alias, role]),
)
DOMAINS = [
    domain("a.example"),
    domain("b.example", tenant=OTHER),
    domain("c.example", environment="staging"),
]


@given(
    st.lists(ANY_ROW, max_size=25),
    st.sampled_from([*NAMES, "0+x@a.example"]),
    st.sampled_from([None, FAR]),
)
def test_resolve_ends_on_any_graph_and_what_it_accepts_goes_somewhere(rows, recipient, sender):
    decision = decide(recipient, *DOMAINS, *rows, sender=sender)

    assert bool(decision.destinations) is decision.reply.is_accepted
    assert decision.reply.is_accepted or recipient != "abuse@a.example"
    assert len(decision.destinations) <= MAX_WIDTH
    assert str(decision.reply.code)[0] == decision.reply.enhanced[0]
    assert decide(recipient, *DOMAINS, *rows, sender=sender) == decision
