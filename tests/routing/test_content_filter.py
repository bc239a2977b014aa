"""What a verdict on content leads to, whose choices count, and when recipients are split."""

import pytest
from msgspec.structs import replace

from gateway.routing import replies
from gateway.routing.authentication import OnFailure
from gateway.routing.content_filter import (
    AddressFilter,
    Filter,
    TenantFilter,
    Verdict,
    in_force,
    refusals,
    reply_to,
    treat,
)
from gateway.routing.split import conflicts
from tests.routing.memory import OTHER, PLATFORM, alias, decide, domain, forward, tenant, to_inbox

REJECT, HOLD, MARK = OnFailure.REJECT, OnFailure.HOLD, OnFailure.MARK
X = "x@a.example"
FILTERING = replace(PLATFORM, on_unfiltered=REJECT)
ON = TenantFilter(is_on=True)


def decided(own=None, tenants=ON, platform=FILTERING, name="x"):
    rows = [
        domain(tenant=tenant(filter=tenants)),
        alias(f"{name}@a.example", to_inbox(), filter=own),
    ]
    return decide(f"{name}@a.example", *rows, platform=platform)


@pytest.mark.parametrize(
    ("verdict", "treatment"),
    [
        (Verdict.CLEAN, None),
        (Verdict.SUSPICIOUS, MARK),
        (Verdict.SPAM, REJECT),
        (Verdict.VIRUS, REJECT),
        (Verdict.QUARANTINE, HOLD),
        (Verdict.LATER, REJECT),
        (Verdict.UNKNOWN, REJECT),
    ],
)
def test_each_verdict_has_a_treatment(verdict, treatment):
    assert treat([Filter()], verdict) is treatment
    if treatment is REJECT:
        temporary = verdict in (Verdict.LATER, Verdict.UNKNOWN)
        assert reply_to(verdict).is_temporary is temporary
        assert reply_to(verdict).enhanced[1:] == ".7.1"


def test_nobody_is_treated_who_has_no_filter():
    assert {treat([], verdict) for verdict in Verdict} == {None}


def test_the_gravest_of_several_counts():
    lenient, strict = Filter(on_spam=MARK, on_virus=HOLD), Filter(on_spam=HOLD)
    assert treat([lenient, strict], Verdict.SPAM) is HOLD
    assert treat([lenient, strict], Verdict.VIRUS) is REJECT
    assert treat([lenient, Filter(on_spam=REJECT)], Verdict.SPAM) is REJECT


def test_a_filter_that_is_away_may_let_mail_through_with_a_mark():
    assert treat([Filter(on_unknown=MARK)], Verdict.UNKNOWN) is MARK
    assert Verdict.UNKNOWN not in refusals([Filter(on_unknown=MARK)])


@pytest.mark.parametrize(
    ("own", "tenants", "wanted"),
    [
        (None, TenantFilter(), None),
        (None, ON, Filter()),
        (AddressFilter(is_on=False), ON, None),
        (AddressFilter(is_on=True), TenantFilter(), Filter()),
        (AddressFilter(on_spam=HOLD), TenantFilter(), None),
        (AddressFilter(on_spam=HOLD), ON, Filter(on_spam=HOLD)),
        (AddressFilter(), TenantFilter(True, HOLD, REJECT, HOLD), Filter(HOLD, REJECT, HOLD)),
        (AddressFilter(None, MARK, HOLD, REJECT), TenantFilter(True, HOLD, REJECT, HOLD),
         Filter(MARK, HOLD, REJECT)),
    ],
)  # fmt: skip
def test_an_address_may_choose_otherwise_than_its_tenant(own, tenants, wanted):
    assert in_force(tenants, own, on_unknown=REJECT) == wanted
    decision = decided(own, tenants)
    assert decision.filters == ((wanted,) if wanted else ())
    assert any(step.name == "content filter" for step in decision.trace) is bool(wanted)


def test_nothing_is_filtered_where_there_is_no_filter():
    assert decided(platform=PLATFORM).filters == ()


@pytest.mark.parametrize("name", ["postmaster", "abuse"])
def test_postmaster_and_abuse_are_not_filtered(name):
    assert decided(name=name).filters == ()


def test_a_hosted_address_keeps_its_filter_when_it_is_forwarded_to():
    rows = [
        domain(tenant=tenant(filter=ON)),
        domain("b.example", tenant=replace(OTHER, filter=TenantFilter(True, HOLD))),
        alias(X, forward("y@b.example")),
        alias("y@b.example", to_inbox()),
    ]
    assert decide(X, *rows, platform=FILTERING).filters == (Filter(), Filter(on_spam=HOLD))


@pytest.mark.parametrize(
    ("one", "other", "are_split"),
    [
        (None, None, False),
        (None, AddressFilter(is_on=False), True),
        (None, AddressFilter(on_spam=HOLD), True),
        (None, AddressFilter(on_spam=MARK), True),
        (AddressFilter(on_spam=HOLD), AddressFilter(on_spam=MARK), False),
        (None, AddressFilter(on_suspicious=HOLD), False),
        (None, AddressFilter(on_suspicious=REJECT), True),
        (None, AddressFilter(on_virus=HOLD), True),
        (AddressFilter(is_on=False), AddressFilter(is_on=False, on_spam=HOLD), False),
    ],
)
def test_recipients_are_split_where_one_answer_could_not_be_true_for_both(one, other, are_split):
    first, second = decided(one), decided(other)
    assert conflicts(first, second, is_size_declared=True) is are_split
    assert conflicts(second, first, is_size_declared=True) is are_split


def test_the_sender_is_told_what_was_found_in_two_words_at_most():
    assert reply_to(Verdict.SPAM) is reply_to(Verdict.SUSPICIOUS) is replies.SPAM
    assert reply_to(Verdict.VIRUS) is replies.VIRUS
