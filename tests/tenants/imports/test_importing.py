"""Imports as jobs: what the check says of each row, what is taken, and what is taken back."""

from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Q

from tenants import changes, jobs
from tenants.imports.reading import Format, Hints, read
from tenants.imports.rows import Refused, Row
from tenants.jobs import importing
from tenants.models import (
    Address,
    Alias,
    Domain,
    Job,
    JobItem,
    Mailbox,
    NextHop,
    RoleAddress,
    SendAsIdentity,
    Tenant,
)
from tests import world as make
from tests.staff import make_staff
from tests.tenants.events import last_context
from tests.world import ACTOR, World, as_user

NEW = "new.example"
NO_TARGETS, NO_RULES = "You may not change targets.", "You may not change subaddress rules."
WHOLE = """\
type,address,domain,name,host,next_hop,environment,targets,rules,holder
alias,list@new.example,,,,,,"forward jo@new.example, inbox",,
alias,jo@new.example,,,,,,box@store.example,"spam: refuse; x: discard",
role address,sales@new.example,,,,,,,,box@store.example
domain,,new.example,,,,staging,,,
mailbox,box@store.example,,Jo,,store,,,,
next hop,,,store,mail.example,,,,,
"""


def rows_of(text: str, written: Format = Format.CSV, **hints: Any) -> list[Row | Refused]:
    return list(read(text.encode(), written, hints=Hints(**hints)))


def checked(
    text: str, tenant: Tenant | None, *, actor: changes.Actor = ACTOR, written: Format = Format.CSV
) -> Job:
    rows = rows_of(text, written)
    return jobs.check(importing.draft(rows, source="test.csv", actor=actor, tenant=tenant))


def told(job: Job) -> list[str]:
    """Each item in a line, in the order of the file."""
    items = sorted(job.items.all(), key=lambda item: item.payload["number"])
    return [_line(item, item.outcome or item.forecast) for item in items]


def _line(item: JobItem, result: str) -> str:
    verdict = item.payload.get("verdict", result) if result == "changed" else result
    shown = [f"{d['field']} {d['old']}→{d['new']}" for d in item.payload.get("differences", ())]
    return f"{item.label}: {item.note or verdict} {'; '.join(shown)}".strip()


def counts(job: Job) -> tuple[int, int, int]:
    return job.changed, job.unchanged, job.refused


def events() -> int:
    """How much history there is of addresses."""
    return int(Address.pgh_event_model.objects.count())


def test_a_whole_tenant_comes_in_at_once(world: World) -> None:
    job = checked(WHOLE, world.b)

    assert (job.state, counts(job)) == ("ready", (6, 0, 0)), told(job)
    assert not Domain.objects.filter(name="new.example").exists()
    assert told(job)[1] == (
        "jo@new.example: new targets →mailbox box@store.example; rules →spam: refuse; x: discard"
    )

    jobs.apply(job)

    assert (job.state, counts(job)) == ("done", (6, 0, 0)), told(job)
    domain = Domain.objects.get(name="new.example")
    assert (domain.tenant, domain.state, domain.environment) == (world.b, "pending", "staging")
    assert [str(each) for each in Alias.objects.get(key="jo@new.example").targets.all()] == [
        "mailbox Jo <box@store.example>"
    ]
    assert RoleAddress.objects.get(key="sales@new.example").holder == Mailbox.objects.get()


def test_the_same_file_twice_changes_nothing(world: World) -> None:
    jobs.apply(checked(WHOLE, world.b))
    last = events()

    job = checked(WHOLE, world.b)

    assert counts(job) == (0, 6, 0), told(job)
    assert counts(jobs.apply(job)) == (0, 6, 0)
    assert events() == last


def test_a_check_changes_nothing(world: World) -> None:
    make.make_alias(world.domain, "x")
    before = list(Address.objects.values()), events()

    job = checked("address,targets,note\nx@a.example,discard,hello", world.a)

    assert told(job) == ["x@a.example: changed targets inbox→discard; note →hello"]
    assert (list(Address.objects.values()), events()) == before


REFUSED = {
    "no such domain": (
        "address,targets\nx@nowhere.example,inbox",
        "address: The tenant has no domain nowhere.example: add it first, or a row for it.",
    ),
    "another tenant's domain": (
        "address,targets\nx@b.example,inbox",
        "address: The tenant has no domain b.example: add it first, or a row for it.",
    ),
    "no target": (
        "address\nx@a.example",
        "enabled: An enabled alias needs at least one target: add where its mail goes.",
    ),
    "loop": (
        "address,targets\nx@a.example,forward x@a.example",
        "targets: x@a.example → x@a.example: this is a loop.",
    ),
    "dead end": (
        "address,targets\nx@a.example,forward y@a.example",
        "targets: x@a.example → y@a.example: nothing receives there.",
    ),
    "too many targets": (
        f'address,targets\nx@a.example,"{"discard, " * 101}"',
        "targets: 100 targets are the most: a shared mailbox or a mailing list reaches more.",
    ),
    "too many targets of a rule": (
        f'address,targets,rules\nx@a.example,inbox,"y: {"discard, " * 101}"',
        "rules: y: 100 targets are the most: a shared mailbox or a mailing list reaches more.",
    ),
    "no mailbox": (
        "address,targets\nx@a.example,mailbox y@store.example",
        "targets: The tenant has no mailbox y@store.example: add it first, or a row for it.",
    ),
    "another tenant's mailbox": (
        "address,targets\nx@a.example,mailbox b@store.example",
        "targets: The tenant has no mailbox b@store.example: add it first, or a row for it.",
    ),
    "choice": (
        "address,targets,authentication\nx@a.example,inbox,magic",
        "authentication: “magic” is none of: any, spf, dkim, dmarc, signer.",
    ),
    "role name": (
        "type,address\nrole,x@a.example",
        "address: A role address is one of: abuse, billing,",
    ),
    "owner": (
        "address,targets,owner\nx@a.example,inbox,eve",
        "owner: No member of the tenant is called “eve”: make one, or leave this empty.",
    ),
    "hop": (
        "address,next_hop\nx@store.example,nowhere",
        "next_hop: There is no next hop “nowhere”: add it first, or a row for it.",
    ),
    "rule": (
        "address,targets,rules\nx@a.example,inbox,y: forward z@a.example",
        "rules: y: x@a.example detail y → z@a.example: nothing receives there.",
    ),
    "other kind": (
        "type,address\nrole address,there@a.example",
        "type: there@a.example is an alias here, and stays one.",
    ),
    "other tenant": (
        "tenant,address,targets\nb,x@a.example,inbox",
        "tenant: The row is of tenant “b”, and everything here goes to “a”.",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_a_rule_refuses_is_told_at_the_row_s_field(
    world: World, text: str, sentence: str
) -> None:
    make.make_mailbox(world.b, "b@store.example")
    make.make_alias(world.domain, "there")

    job = checked(text, world.a)

    assert counts(job) == (0, 0, 1), told(job)
    assert job.items.get().note.startswith(sentence)


def test_a_later_chunk_knows_what_is_everyone_s_and_another_tenant_s(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A next hop without a tenant, and an address that takes forwards from the row's domain."""
    kind = importing.Importing(importing.IMPORT, chunk_rows=1, undone_by=importing.UNDO)
    monkeypatch.setitem(jobs.kind._register.kinds, importing.IMPORT, kind)
    text = """\
type,tenant,address,name,host,next_hop,targets,accepts_forwards_from
next hop,,,store,mail.example,,,
mailbox,a,box@store.example,,,store,,
alias,b,x@b.example,,,,inbox,a.example
alias,a,x@a.example,,,,"forward x@b.example, mailbox box@store.example",
"""

    job = checked(text, None)

    assert counts(job) == (4, 0, 0), told(job)


def test_a_row_has_to_say_whose_it_is(world: World) -> None:
    text = "tenant,address,targets\na,x@a.example,inbox\n,y@a.example,inbox\nz,z@a.example,inbox"

    job = checked(text, None)

    assert [line.partition(" ")[2] for line in told(job)][1:] == [
        "tenant: Say whose it is: choose a tenant, or add a column.",
        "tenant: There is no tenant with the external id “z”.",
    ]
    assert counts(job) == (1, 0, 2)


def test_only_the_good_rows_are_taken(world: World) -> None:
    text = "address,targets\na@a.example,inbox\nb@a.example,fax\nc@a.example,forward c@a.example"

    job = jobs.apply(checked(text, world.a))

    assert counts(job) == (1, 0, 2)
    assert list(Alias.objects.values_list("key", flat=True)) == ["a@a.example"]


def test_a_row_refused_by_the_check_stays_so(world: World) -> None:
    job = checked("address,targets\nx@a.example,mailbox y@store.example", world.a)
    make.make_mailbox(world.a, "y@store.example")

    assert counts(jobs.apply(job)) == (0, 0, 1)


def test_what_changed_since_the_check_is_left_alone(world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    job = checked("address,note\nx@a.example,new", world.a)
    alias.note = "by hand"
    make.save(alias)

    jobs.apply(job)

    assert told(job)[0].startswith(f"x@a.example: {importing.MEANWHILE}")
    alias.refresh_from_db()
    assert alias.note == "by hand"


def test_fields_that_are_not_named_stay(world: World) -> None:
    make.make_alias(world.domain, "x", note="kept", rate_per_hour=7)

    jobs.apply(checked("x@a.example discard@b.test", world.a, written=Format.VIRTUAL))

    alias = Alias.objects.get()
    assert (alias.note, alias.rate_per_hour) == ("kept", 7)
    assert [target.forward_to for target in alias.targets.all()] == ["discard@b.test"]


def test_targets_keep_their_rows_and_take_a_new_order(world: World) -> None:
    alias = make.make_alias(
        world.domain, "x", make.to_inbox(), make.to_forward("a@x.test"), make.to_forward("b@x.test")
    )
    inbox, _, last = alias.targets.all()

    jobs.apply(checked('address,targets\nx@a.example,"b@x.test, inbox, c@x.test"', world.a))

    targets = list(alias.targets.all())
    assert [str(each) for each in targets] == [
        "forward to b@x.test", "stored inbox", "forward to c@x.test"
    ]  # fmt: skip
    assert targets[:2] == [last, inbox]


def test_what_is_spelled_otherwise_but_stored_alike_is_unchanged(world: World) -> None:
    make.make_alias(world.domain, "x", allowed_senders=["@b.test", "a@b.test"])

    job = checked('address,allowed_senders\nX@A.example,"a@B.test, @b.test"', world.a)

    assert counts(job) == (0, 1, 0), told(job)


def test_an_import_is_taken_back(world: World) -> None:
    alias = make.make_alias(world.domain, "x", make.to_forward("a@x.test"), note="old")
    make.make_rule(alias, "spam", "refuse")
    text = 'address,targets,note,rules\nx@a.example,inbox,new,"y: deliver"\nz@a.example,inbox,,\n'
    job = jobs.apply(checked(text, world.a))
    assert counts(job) == (2, 0, 0)

    undone = jobs.apply(jobs.undo(job, actor=ACTOR, reason="wrong file"))

    assert counts(undone) == (2, 0, 0), told(undone)
    alias.refresh_from_db()
    assert (alias.note, str(alias.targets.get()), alias.rules.get().detail) == (
        "old", "forward to a@x.test", "spam"
    )  # fmt: skip
    assert not Alias.objects.filter(key="z@a.example").exists()


def test_what_was_changed_since_the_import_is_not_taken_back(world: World) -> None:
    job = jobs.apply(checked("address,targets\nx@a.example,inbox", world.a))
    alias = Alias.objects.get()
    alias.note = "by hand"
    make.save(alias)

    undone = jobs.apply(jobs.undo(job, actor=ACTOR))

    assert undone.items.get().note == importing.CHANGED_SINCE
    assert Alias.objects.exists()


def test_what_was_given_more_since_the_import_is_not_taken_back(world: World) -> None:
    """An identity, a membership, a check by DNS: none of them stands in the row's own fields."""
    text = (
        "type,address,domain,name,next_hop\nmailbox,box@store.example,,,store\n"
        "domain,,new.example,,\nmailbox,bare@store.example,,,store\n"
    )
    make.make_hop(world.a, name="store")
    job = jobs.apply(checked(text, world.a))
    assert counts(job) == (3, 0, 0), told(job)
    box, domain = Mailbox.objects.get(address__startswith="box"), Domain.objects.get(name=NEW)
    make.make_alias(world.domain, "sales", make.to_mailbox(box))
    make.save(SendAsIdentity(mailbox=box, address="sales@a.example"))
    domain.state = Domain.State.ACTIVE
    make.save(domain)
    Alias.objects.get().delete()  # which would keep the mailbox, too

    undone = jobs.apply(jobs.undo(job, actor=ACTOR))

    assert counts(undone) == (1, 0, 2), told(undone)
    _, kept, verified = sorted(told(undone))
    assert "delete first: send-as identity box@store.example as sales@a.example." in kept
    assert verified == f"{NEW}: {importing.CHANGED_SINCE}"


def test_a_tenant_with_members_is_not_taken_back(world: World) -> None:
    make.make_plan("Small")
    job = jobs.apply(checked("type,tenant,name,plan\ntenant,c,C,Small\n", None))
    made = Tenant.objects.get(external_id="c")
    make.make_membership(made, world.outsider, "owner")

    undone = jobs.apply(jobs.undo(job, actor=ACTOR))

    assert "delete first: membership eve in C (owner)" in undone.items.get().note


def test_what_the_file_does_not_name_counts_as_changed_too(world: World) -> None:
    job = jobs.apply(checked(f"type,domain\ndomain,{NEW}", world.a))
    box = make.make_mailbox(world.a)
    row = Domain.objects.get(name=NEW)
    row.default_role_holder = box
    make.save(row)

    assert jobs.apply(jobs.undo(job, actor=ACTOR)).items.get().note == importing.CHANGED_SINCE


def test_nobody_imports_what_they_may_not_add(world: World) -> None:
    user = make_staff("clerk", is_superuser=False)
    seen = ("view_tenant", "view_domain", "view_alias", "view_target", "change_alias")
    seen += ("change_target",)
    user.user_permissions.set(Permission.objects.filter(codename__in=seen))
    make.make_alias(world.domain, "x")
    text = "type,address,targets\nalias,x@a.example,discard\nalias,y@a.example,inbox\n"

    job = checked(text, world.a, actor=as_user(user, "admin"))

    assert [line.partition(" ")[2] for line in told(job)] == [
        "changed targets inbox→discard",
        "You may not add aliases.",
    ]


@pytest.mark.parametrize(
    ("fields", "line", "held", "refused"),
    [
        ("targets", "x@a.example,discard", "", NO_TARGETS),
        ("targets", "x@a.example,discard", "change_target", ""),
        ("targets", "new@a.example,inbox", "", NO_TARGETS),
        ("rules", "x@a.example,spam: refuse", "change_target", NO_RULES),
        ("rules", "x@a.example,spam: refuse", "change_subaddressrule", ""),
        ("rules", "x@a.example,spam: inbox", "change_subaddressrule", NO_TARGETS),
        ("targets,note", "x@a.example,inbox,they stand there already", "", ""),
    ],
)
def test_who_may_not_change_targets_or_rules_by_hand_imports_none(
    world: World, fields: str, line: str, held: str, refused: str
) -> None:
    user = make_staff("clerk", is_superuser=False)
    every = Q(codename__startswith="view_") | Q(codename__in=["add_alias", "change_alias", held])
    user.user_permissions.set(Permission.objects.filter(every))
    make.make_alias(world.domain, "x")

    job = checked(f"address,{fields}\n{line}\n", world.a, actor=as_user(user, "admin"))
    jobs.apply(job)

    assert job.items.get().note == refused
    if held and not refused:
        clerk = as_user(make_less_of(user, held), "admin")
        undone = jobs.apply(jobs.undo(job, actor=clerk))
        assert undone.items.get().note in (NO_TARGETS, NO_RULES)


def make_less_of(user: Any, codename: str) -> Any:
    """The user without a permission."""
    user.user_permissions.remove(Permission.objects.get(codename=codename))
    return type(user).objects.get(pk=user.pk)


def test_the_plan_s_limit_holds_over_all_rows(world: World, monkeypatch: Any) -> None:
    tenant = make.make_tenant(plan=make.make_plan(max_addresses=5))
    domain = make.make_domain(tenant, "small.example")
    make.make_alias(domain, "first")
    kind = importing.Importing(importing.IMPORT, chunk_rows=2, undone_by=importing.UNDO)
    monkeypatch.setitem(jobs.kind._register.kinds, importing.IMPORT, kind)
    text = "address,targets\n" + "".join(f"n{n}@small.example,inbox\n" for n in range(7))

    job = checked(text, tenant)

    assert counts(job) == (4, 0, 3), told(job)
    assert "The tenant's plan allows 5 addresses." in told(job)[-1]
    assert counts(jobs.apply(job)) == (4, 0, 3)


def test_what_a_row_needs_may_stand_in_an_earlier_chunk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = importing.Importing(importing.IMPORT, chunk_rows=1, undone_by=importing.UNDO)
    monkeypatch.setitem(jobs.kind._register.kinds, importing.IMPORT, kind)

    job = checked(WHOLE, world.b)

    assert counts(job) == (6, 0, 0), told(job)
    assert counts(jobs.apply(job)) == (6, 0, 0)


def test_shared_next_hops_belong_to_nobody(world: World) -> None:
    jobs.apply(checked("type,name,host\nnext hop,shared,mail.example", None))

    assert NextHop.objects.get().tenant is None


def test_tenants_come_with_what_is_theirs(world: World) -> None:
    make.make_plan("Small")
    text = "type,tenant,name,plan,domain\ntenant,c,Tenant C,Small,\ndomain,c,,,c.example\n"

    job = jobs.apply(checked(text, None))

    assert counts(job) == (2, 0, 0), told(job)
    assert Domain.objects.get(name="c.example").tenant.external_id == "c"


def test_the_history_says_who_imported_what_and_why(world: World) -> None:
    rows: Sequence[Row | Refused] = rows_of("address,targets\nx@a.example,inbox")
    actor = as_user(make_staff(), "import")
    job = importing.draft(rows, source="x.csv", actor=actor, tenant=world.a, reason="moved in")

    jobs.apply(jobs.check(job))

    context = last_context(Alias.objects.get())
    assert (context["actor"], context["surface"], context["reason"], context["job"]) == (
        "ops", "import", "moved in", job.pk
    )  # fmt: skip
