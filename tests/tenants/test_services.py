"""Use-cases over several rows: the demo, expiry, switching, suspension, and DNS checks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from gateway.models import RoutingRecord
from tenants import forewarning, services
from tenants.dns import Expected, Kind
from tenants.models import Address, Alias, Domain, DomainCheck, Mailbox, RoleAddress, Target, Tenant
from tests.tenants.memory_resolver import MemoryResolver
from tests.tenants.test_changes import events_of, last_context
from tests.world import (
    ACTOR,
    as_user,
    make_alias,
    make_domain,
    make_mailbox,
    make_role,
    save,
    to_forward,
    to_inbox,
    to_mailbox,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


# --- the demo --------------------------------------------------------------


def test_the_demo_tenant_is_made_once(db):
    first = services.create_demo_tenant(actor=ACTOR)
    addresses = Address.objects.count()
    again = services.create_demo_tenant(actor=ACTOR)

    assert (again.tenant, again.domain) == (first.tenant, first.domain)
    assert first.first_address == "hello@demo.example"
    assert Address.objects.count() == addresses
    assert Target.objects.get(address__key=first.first_address).kind == "inbox"


def test_the_demo_tenant_s_domain_receives(db):
    assert services.create_demo_tenant(actor=ACTOR).domain.is_receiving


# --- warnings --------------------------------------------------------------

SHARED = (
    "2 people get this mail: replies will not be seen by the others; "
    "a shared mailbox keeps them together."
)


@pytest.mark.parametrize(
    ("targets", "warnings"),
    [
        (lambda w: [to_mailbox(make_mailbox(w.a))], []),
        (lambda w: [to_mailbox(make_mailbox(w.a)), to_inbox()], []),
        (lambda w: [to_mailbox(make_mailbox(w.a)), to_mailbox(make_mailbox(w.a))], [SHARED]),
        (lambda w: [to_mailbox(make_mailbox(w.a)), to_forward("x@far.example")], [SHARED]),
        (lambda w: [to_forward("x@far.example"), to_forward("X@far.example")], []),
        (
            lambda w: [
                to_mailbox(make_mailbox(w.a, kind=Mailbox.Kind.TEAM)),
                to_mailbox(make_mailbox(w.a)),
            ],
            [],
        ),
    ],
    ids=["one", "one and stored", "two", "two, one outside", "the same twice", "a team and one"],
)
def test_more_than_one_person_behind_an_address_is_warned_about(world, targets, warnings):
    alias = make_alias(world.domain, "x", *targets(world))

    assert services.warnings_for(alias) == warnings


def test_an_alias_without_a_target_is_warned_about_and_a_role_is_not(world):
    alias = save(Alias(domain=world.domain, local_part="x"))

    assert services.warnings_for(alias) == ["This address has no target: mail to it is refused."]
    assert services.warnings_for(make_role(world.domain, "sales")) == []


def test_an_enabled_alias_without_a_target_is_not_saved(world):
    alias = Alias(domain=world.domain, local_part="x")

    with pytest.raises(ValidationError) as refused:
        services.save_address(alias, [], actor=ACTOR)

    assert list(refused.value.message_dict) == ["enabled"]
    assert not Alias.objects.exists()


def test_an_alias_is_saved_with_its_targets(world):
    alias = Alias(domain=world.domain, local_part="x")

    services.save_address(alias, [to_inbox(), to_forward("y@far.example")], actor=ACTOR)

    assert [target.kind for target in alias.targets.all()] == ["inbox", "forward"]


def test_an_alias_without_a_target_is_not_switched_on_and_a_role_is(world):
    save(Alias(domain=world.domain, local_part="x", enabled=False))
    make_role(world.domain, "sales", enabled=False)

    with pytest.raises(ValidationError) as refused:
        services.set_enabled(Address.objects.all(), enabled=True, actor=ACTOR)

    assert refused.value.message_dict == {"enabled": ["Give x@a.example a target first."]}
    assert services.set_enabled(RoleAddress.objects.all(), enabled=True, actor=ACTOR) == 1


# --- switching and expiry --------------------------------------------------


def test_set_enabled_counts_what_changed(world):
    for name in "xyz":
        make_alias(world.domain, name, enabled=name != "z")

    count = services.set_enabled(Alias.objects.all(), enabled=False, actor=ACTOR, reason="pause")

    assert count == 2
    assert not Alias.objects.alive().exists()
    assert last_context(Address.objects.get(local_part="x"))["reason"] == "pause"


def test_an_expired_address_is_not_switched_on_without_a_later_expiry(world):
    now = timezone.now()
    alias = make_alias(world.domain, "x", expires_at=now)
    services.expire_addresses(actor=ACTOR, now=now)

    with pytest.raises(ValidationError) as refused:
        services.set_enabled(Alias.objects.all(), enabled=True, actor=ACTOR)

    sentence = "Give x@a.example a later expiry: the time is over."
    assert refused.value.message_dict == {"expires_at": [sentence]}
    assert not Address.objects.get(pk=alias.pk).enabled


def test_overdue_addresses_are_switched_off_once_and_history_says_why(world):
    now = timezone.now()
    due = make_alias(world.domain, "due", expires_at=now)
    make_alias(world.domain, "later", expires_at=now + HOUR)
    make_alias(world.domain, "never")

    counts = [services.expire_addresses(actor=ACTOR, now=now) for _ in range(2)]

    due.refresh_from_db()
    assert counts == [1, 0]
    assert (due.enabled, due.expired_at) == (False, now)
    assert last_context(due)["reason"] == "expired"
    assert Alias.objects.alive().count() == 2


def test_a_later_expiry_brings_an_expired_address_back(world):
    now = timezone.now()
    alias = make_alias(world.domain, "x", expires_at=now)
    services.expire_addresses(actor=ACTOR, now=now)
    alias.refresh_from_db()
    alias.expires_at = now + DAY

    save(alias)

    assert alias in Alias.objects.alive()


def test_expiring_nothing_writes_no_history(world):
    alias = make_alias(world.domain, "x")

    services.expire_addresses(actor=ACTOR, now=timezone.now())

    assert len(events_of(alias)) == 1


# --- tenants ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("for_abuse", "state"),
    [(False, Tenant.State.SUSPENDED), (True, Tenant.State.SUSPENDED_FOR_ABUSE)],
)
def test_a_tenant_is_suspended_and_resumed(world, for_abuse, state):
    before = world.a.state_since
    services.suspend_tenant(world.a, actor=ACTOR, reason="unpaid", for_abuse=for_abuse)
    world.a.refresh_from_db()

    assert world.a.state == state
    assert world.a.state_since > before
    assert last_context(world.a)["reason"] == "unpaid"

    services.resume_tenant(world.a, actor=ACTOR, reason="paid")
    assert Tenant.objects.get(pk=world.a.pk).state == Tenant.State.ACTIVE


# --- domains ---------------------------------------------------------------


@pytest.fixture
def claim(world) -> Domain:
    return services.claim_domain(world.a, "new.example", actor=ACTOR)


def check(domain, resolver, now=None) -> Domain:
    now = now or timezone.now()
    return services.check_domain(domain, actor=ACTOR, resolver=resolver, now=now)


def all_of(domain) -> MemoryResolver:
    return MemoryResolver.publishing(*services.expected_of(domain))


def check_of(domain, kind: Kind = Kind.OWNERSHIP) -> DomainCheck:
    return DomainCheck.objects.get(domain=domain, kind=kind)


def test_a_claim_waits_for_dns(claim):
    assert (claim.state, claim.verified_at) == ("pending", None)
    assert not claim.is_receiving


def test_the_ownership_record_makes_a_claim_active(claim):
    domain = check(claim, all_of(claim))

    assert domain.state == "active"
    assert domain.verified_at is not None
    assert last_context(domain)["reason"] == "The ownership record was found."
    assert {c.state for c in domain.checks.all()} == {"present"}


def test_what_was_found_is_noted_beside_what_is_expected(claim):
    now = datetime(2026, 6, 1, tzinfo=UTC)
    resolver = all_of(claim)
    resolver.records[("new.example", "MX")] = ("10 mx.elsewhere.example.",)

    check(claim, resolver, now)

    mx = check_of(claim, Kind.MX)
    assert (mx.state, mx.standing, mx.times_in_row) == ("wrong", "wrong", 1)
    assert (mx.record_name, mx.record_type) == ("new.example", "MX")
    assert mx.found == ["10 mx.elsewhere.example."]
    assert mx.evidence[0]["server"] == "ns1.test"
    assert (mx.since, mx.checked_at) == (now, now)
    assert mx.advice


def test_an_empty_text_beside_the_ownership_record_keeps_nothing_from_being_judged(claim):
    ownership, *_ = expected = services.expected_of(claim)
    resolver = MemoryResolver.publishing(*expected)
    resolver.records[ownership.name, "TXT"] = ("",)

    check(claim, resolver)

    assert (check_of(claim).state, check_of(claim).found) == ("absent", [""])


def test_the_longest_name_is_judged(world):
    claim = services.claim_domain(world.a, ".".join(["a" * 61] * 4), actor=ACTOR)

    assert check(claim, all_of(claim)).state == "active"


def test_another_tenant_s_token_proves_nothing(world, claim):
    theirs = services.claim_domain(world.b, "new.example", actor=ACTOR)

    assert check(claim, all_of(theirs)).state == "pending"


def test_a_claim_behind_a_verified_one_stays_pending_and_says_why(world, claim):
    check(claim, all_of(claim))
    second = services.claim_domain(world.b, "new.example", actor=ACTOR)

    assert check(second, all_of(second)).state == "pending"
    ownership = check_of(second)
    assert ownership.state == "present"
    assert ownership.advice == "Another claim of this domain is verified already."


@pytest.mark.parametrize("child", ["sub.new.example", "a.b.new.example"])
def test_a_domain_and_one_below_it_are_claims_of_their_own(world, claim, child):
    """Each is proved by a record of its own name; neither blocks, proves or gives up the other."""
    parent, below = check(claim, all_of(claim)), services.claim_domain(world.b, child, actor=ACTOR)
    wildcard = MemoryResolver.publishing(
        *(replace(each, name=each.name.replace("new.example", child)) for each in proof(claim))
    )

    assert check(below, all_of(claim)).state == "pending"
    assert check(below, wildcard).state == "pending"
    below = check(below, all_of(below))
    assert (below.state, below.tenant) == ("active", world.b)
    services.release_domain(parent, actor=ACTOR)
    below.refresh_from_db()
    assert below.state == "active"


def proof(domain) -> list[Expected]:
    return [each for each in services.expected_of(domain) if each.kind is Kind.OWNERSHIP]


def test_a_released_domain_waits_before_another_tenant_gets_it(world, claim):
    services.release_domain(check(claim, all_of(claim)), actor=ACTOR)
    second = services.claim_domain(world.b, "new.example", actor=ACTOR)
    assert check(second, all_of(second)).state == "pending"
    assert "can be verified again from" in check_of(second).advice

    Domain.objects.filter(pk=claim.pk).update(state_since=timezone.now() - 31 * DAY)

    assert check(second, all_of(second)).state == "active"
    assert check_of(second).advice == ""


def test_a_released_domain_is_not_checked(claim):
    services.release_domain(claim, actor=ACTOR)

    assert check(claim, all_of(claim)).state == "released"
    assert not DomainCheck.objects.exists()


def test_a_check_that_began_before_the_release_changes_nothing(claim):
    stale = Domain.objects.get(pk=claim.pk)
    services.release_domain(claim, actor=ACTOR)

    assert check(stale, all_of(stale)).state == "released"


START = datetime(2026, 6, 1, tzinfo=UTC)


def check_often(domain, resolver, *, hours: int, every: int = 24, start=START) -> Domain:
    for passed in range(0, hours + 1, every):
        domain = check(domain, resolver, start + passed * HOUR)
    return domain


def test_absence_degrades_a_domain_only_after_three_checks_and_72_hours(claim):
    active = check(claim, all_of(claim), START)
    empty = MemoryResolver()

    assert check_often(active, empty, hours=48).state == "active"
    domain = check(claim, empty, START + 72 * HOUR)

    assert domain.state == "degraded"
    assert last_context(domain)["reason"].startswith("The ownership record has been absent")
    assert domain.is_receiving


@pytest.fixture
def owned(claim, world, settings) -> Domain:
    """An active domain whose tenant has an owner, whom the panel can mail."""
    settings.PANEL_MAIL_URL = "smtp://127.0.0.1:1"
    return check(claim, all_of(claim), START)


def test_owners_are_to_be_told_once_before_their_domain_is_degraded(owned):
    domain = check_often(owned, MemoryResolver(), hours=120)

    told = {each.kind: each for each in domain.forewarnings.all()}
    assert domain.state == "active", "nobody was told yet"
    assert set(told) == {"ownership", "mx"}
    assert domain.forewarnings.count() == 2
    assert told["mx"].expected == "new.example MX 10 localhost."
    assert told["mx"].missing_since == START
    assert told["mx"].degrades_at == START + 72 * HOUR
    assert last_context(told["mx"])["reason"] == "DNS check"


def test_a_domain_is_degraded_when_its_owners_had_a_day_since_they_were_told(owned):
    empty = MemoryResolver()
    check_often(owned, empty, hours=96)
    for each in owned.forewarnings.all():
        forewarning.note_told(each, now=START + 96 * HOUR, actor=ACTOR)

    assert check(owned, empty, START + 119 * HOUR).state == "active"
    assert check(owned, empty, START + 120 * HOUR).state == "degraded"


def test_what_goes_missing_anew_is_told_anew(owned):
    empty = MemoryResolver()
    domain = check_often(owned, empty, hours=48)
    for each in domain.forewarnings.all():
        forewarning.note_told(each, now=START + 48 * HOUR, actor=ACTOR)
    domain = check(domain, all_of(domain), START + 60 * HOUR)
    assert not domain.forewarnings.current().exists()

    domain = check_often(domain, empty, hours=96, start=START + 61 * HOUR)

    assert domain.state == "active"
    assert domain.forewarnings.current().count() == 2
    assert domain.forewarnings.count() == 4


def test_a_record_that_is_missing_for_a_moment_is_told_to_nobody(owned):
    domain = check_often(owned, MemoryResolver(), hours=2, every=2)

    assert check_of(domain).times_in_row == 2
    assert not domain.forewarnings.exists()


@pytest.mark.parametrize("lacking", ["mail server", "address", "owner"])
def test_a_domain_does_not_wait_where_there_is_nobody_to_tell(owned, world, settings, lacking):
    if lacking == "mail server":
        settings.PANEL_MAIL_URL = ""
    elif lacking == "address":
        type(world.owner).objects.filter(pk=world.owner.pk).update(email="")
    else:
        world.a.memberships.filter(user=world.owner).update(role="admin")

    domain = check_often(owned, MemoryResolver(), hours=72)

    assert domain.state == "degraded"
    assert domain.forewarnings.count() == 2


def test_unknown_changes_nothing_and_keeps_what_was_known(claim):
    active = check(claim, all_of(claim), START)

    domain = check_often(active, MemoryResolver(is_down=True), hours=24 * 30)

    ownership = check_of(domain)
    assert domain.state == "active"
    assert (ownership.state, ownership.standing) == ("unknown", "present")
    assert ownership.unknown_times == 31
    assert ownership.since == START


def test_a_degraded_domain_recovers_at_once(claim):
    active = check(claim, all_of(claim), START)
    degraded = check_often(active, MemoryResolver(), hours=72)
    assert degraded.state == "degraded"

    assert check(degraded, all_of(claim), START + 73 * HOUR).state == "active"


@pytest.mark.parametrize(
    ("hours_ago", "accepted", "state"),
    [(1, True, "active"), (80, True, "degraded"), (1, False, "degraded")],
)
def test_mail_that_arrives_speaks_for_the_mx(claim, hours_ago, accepted, state):
    active = check(claim, all_of(claim), START)
    without_mx = all_of(claim)
    without_mx.records[("new.example", "MX")] = ("10 mx.elsewhere.example.",)
    last = START + 96 * HOUR
    RoutingRecord.objects.create(
        at=last - hours_ago * HOUR,
        queue_id="q",
        recipient="x@new.example",
        key="x@new.example",
        tenant=claim.tenant,
        domain=claim,
        strategy="alias",
        rule="alias x@new.example",
        token="t",
        accepted=accepted,
        reason="accepted",
        reply="250 2.1.5 Recipient ok",
    )

    assert check_often(active, without_mx, hours=96).state == state


def test_a_user_s_check_is_attributed_to_the_user(world, claim):
    actor = as_user(world.owner)

    domain = services.check_domain(claim, actor=actor, resolver=all_of(claim), now=timezone.now())

    assert last_context(domain)["actor"] == "ann"


def test_domains_are_due_by_when_they_were_last_checked(world, claim):
    now = timezone.now()
    names = {"verified": "a.example", "fresh": "new.example", "stale": "stale.example"}
    stale = services.claim_domain(world.a, names["stale"], actor=ACTOR)
    Domain.objects.filter(pk=stale.pk).update(created_at=now - 30 * DAY)
    released = make_domain(world.a, state=Domain.State.RELEASED)

    def due(after: timedelta) -> set[str]:
        rows = Domain.objects.due_for_check(now + after).exclude(name="b.example")
        return {row.name for row in rows}

    assert due(timedelta(0)) == set(names.values()), "never checked"
    for domain in (world.domain, claim, stale, released):
        check(domain, MemoryResolver(), now)
    assert due(timedelta(seconds=1)) == set()
    assert due(timedelta(minutes=15)) == {names["fresh"]}
    assert due(HOUR) == {names["fresh"], names["verified"]}
    assert due(DAY) == set(names.values())
