"""Reroute: another place of the same tenant, in one transaction, and never there twice."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from gateway.admin import interventions
from gateway.delivery import claim, queue, reroute, retry_now, settle
from gateway.delivery.rerouting import THERE_ALREADY, Goal, ToAddress, ToMailbox, plan
from gateway.directory import read_facts
from gateway.models import Delivery, Intervention, Message, Outage
from gateway.routing.address import Address
from gateway.routing.facts import Facts
from gateway.transports import Outcome, Result
from tenants import jobs
from tenants.changes import Actor
from tenants.jobs import rerouting
from tenants.jobs.rerouting import direct
from tenants.models import Job, Mailbox
from tests import world as make
from tests.gateway import outbox
from tests.pages import url_of
from tests.staff import client_of, make_staff
from tests.world import World, make_world

pytestmark = pytest.mark.django_db
State = Delivery.State
OPS = Actor("admin", name="ops")
WRITTEN_TO = "sales@a.example"


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def box(world: World) -> Mailbox:
    return make.make_mailbox(world.a, "new@store.example")


def put(world: World, state: str = State.DEFERRED, **fields) -> Delivery:
    later = timezone.now() + timedelta(hours=1)
    values = {"next_attempt_at": later, "tenant_id": world.a.pk, "original": WRITTEN_TO} | fields
    return outbox.put(state=state, **values)[0]


def to(goal: Goal, *rows: Delivery) -> int:
    return reroute([row.pk for row in rows], goal, actor=OPS, reason="ticket 7")


def refusals(goal: Goal, *rows: Delivery) -> list[str]:
    chosen = Delivery.objects.filter(pk__in=[row.pk for row in rows])
    return [each.refusal for each in plan(chosen, goal)]


def test_a_delivery_goes_to_another_mailbox_and_says_who_sent_it(
    world: World, box: Mailbox
) -> None:
    delivery = put(world, destination="smtp:old.example:25", mark="X-Spam-Flag: YES\r\n")
    Outage.objects.create(
        lane=queue.lane_of("mailbox", box.next_hop_id),
        since=timezone.now(),
        until=timezone.now() + timedelta(hours=1),
        place="x:25",
    )
    assert to(ToMailbox(box), delivery) == 1
    assert outbox.state(delivery) == State.PENDING
    outbox.make_due(delivery.pk)  # the test's transaction is older than its statements
    [claimed] = claim(10)
    assert (claimed.id, claimed.recipient) == (delivery.pk, "new@store.example")
    assert claimed.hop is not None
    assert claimed.hop.id == box.next_hop_id
    assert (claimed.original_recipient, claimed.mark) == (WRITTEN_TO, "X-Spam-Flag: YES\r\n")
    told = Intervention.objects.get()
    assert (told.action, told.from_state, told.actor, told.reason) == (
        "reroute",
        State.DEFERRED,
        "ops",
        "ticket 7",
    )
    assert told.detail.startswith(
        "mailbox box@store.example via smtp:old.example:25 → mailbox new@"
    )


def test_old_mail_is_tried_for_a_lifetime_at_each_new_place(world: World, box: Mailbox) -> None:
    delivery = put(world, State.HELD, received_at=timezone.now() - timedelta(days=6))
    make.make_alias(world.domain, "team", make.to_mailbox(box), make.to_inbox())
    assert to(ToAddress(Address.parse("team@a.example")), delivery) == 1
    rows = list(Delivery.objects.filter(message=delivery.message_id))
    outbox.make_due(*(row.pk for row in rows))
    found = claim(10)
    assert len(found) == 2
    busy = Outcome(Result.DEFERRED, "451 4.3.2 Try again later")
    assert {queue.judge(each, busy, spread=0.5)[0] for each in found} == {State.DEFERRED}


@pytest.mark.parametrize("state", State.values)
def test_only_what_no_worker_has_and_nobody_got_is_rerouted(
    world: World, box: Mailbox, state: str
) -> None:
    delivery = put(world, state)
    is_fit = state not in (State.SENDING, State.DELIVERED)
    assert to(ToMailbox(box), delivery) == is_fit
    assert outbox.state(delivery) == (State.PENDING if is_fit else state)
    assert delivery.interventions.count() == is_fit


def test_a_late_worker_cannot_settle_what_was_rerouted(world: World, box: Mailbox) -> None:
    delivery = put(world, State.PENDING)
    outbox.make_due(delivery.pk)
    [claimed] = claim(10)
    outbox.let_lease_end(delivery.pk)
    Delivery.objects.filter(pk=delivery.pk).update(state=State.QUARANTINED)
    to(ToMailbox(box), delivery)
    late = queue.Settlement(claimed, Outcome(Result.FAILED, "550 gone"), "failed", timedelta())
    assert settle([late]) == {}
    assert outbox.state(delivery) == State.PENDING


def test_a_message_never_goes_to_a_place_twice(world: World, box: Mailbox) -> None:
    rows = outbox.put(
        recipients=("one@store.example", "two@store.example"),
        state=State.HELD,
        tenant_id=world.a.pk,
    )
    assert refusals(ToMailbox(box), *rows) == ["", THERE_ALREADY]
    assert to(ToMailbox(box), *rows) == 1
    assert to(ToMailbox(box), *rows) == 0
    assert Delivery.objects.filter(recipient=box.address).count() == 1


def test_what_failed_there_before_may_go_there_again(world: World, box: Mailbox) -> None:
    first, second = outbox.put(
        recipients=("one@store.example", "two@store.example"),
        state=State.HELD,
        tenant_id=world.a.pk,
    )
    to(ToMailbox(box), first)
    Delivery.objects.filter(pk=first.pk).update(state=State.FAILED)
    assert to(ToMailbox(box), first) == 0
    assert to(ToMailbox(box), second) == 1


def test_no_goal_of_another_tenant_is_taken(world: World) -> None:
    foreign = make.make_mailbox(world.b, "eve@store.example")
    make.make_alias(world.other_domain, "eve")
    delivery = put(world)
    for goal in (ToMailbox(foreign), ToAddress(Address.parse("eve@b.example"))):
        assert refusals(goal, delivery) == ["It belongs to another tenant."]
        assert to(goal, delivery) == 0


def test_an_address_is_followed_to_all_of_its_places(world: World, box: Mailbox) -> None:
    places = (make.to_mailbox(box), make.to_forward("far@partner.example"))
    make.make_alias(world.domain, "team", *places)
    delivery = put(world, State.FAILED, dsn="NOTIFY=NEVER")
    assert to(ToAddress(Address.parse("team@a.example")), delivery) == 1
    rows = list(Delivery.objects.order_by("created_at", "pk"))
    assert {(row.kind, row.recipient, row.rewrites_sender, row.dsn) for row in rows} == {
        ("mailbox", "new@store.example", False, "NOTIFY=NEVER"),
        ("forward", "far@partner.example", True, "NOTIFY=NEVER"),
    }
    assert {row.record_id for row in rows} == {delivery.record_id}
    assert Intervention.objects.values("delivery").distinct().count() == 2


def test_mail_follows_its_address_to_where_that_routes_now(world: World, box: Mailbox) -> None:
    make.make_alias(world.domain, "sales", make.to_mailbox(box))
    delivery = put(world)
    assert to(ToAddress(), delivery) == 1
    assert Delivery.objects.get(pk=delivery.pk).recipient == box.address


def test_many_addresses_are_looked_up_together(
    world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [put(world, original=f"{name}@a.example") for name in ("sales", "team", "nobody")]
    rows.append(put(world, original="no address"))
    for name in ("sales", "team"):
        make.make_alias(world.domain, name, make.to_mailbox(box))
    asked: list[int] = []

    def count(recipients: Sequence[Address]) -> Facts:
        asked.append(len(recipients))
        return read_facts(recipients)

    monkeypatch.setattr("gateway.delivery.rerouting.read_facts", count)
    found = refusals(ToAddress(), *rows)
    assert found[:2] == ["", ""]
    assert "answers 550 5.1.1" in found[2]
    assert "cannot be resolved" in found[3]
    assert asked == [3]


@pytest.mark.parametrize(
    ("address", "said"),
    [("nobody@a.example", "nobody@a.example answers 550 5.1.1"), ("x@far.example", "550 5.7.1")],
)
def test_an_address_that_refuses_is_no_way_out(world: World, address: str, said: str) -> None:
    [refusal] = refusals(ToAddress(Address.parse(address)), put(world))
    assert said in refusal


def test_nothing_is_rerouted_without_its_body(world: World, box: Mailbox) -> None:
    delivery = put(world, State.FAILED)
    Message.objects.update(purged_at=timezone.now())
    assert refusals(ToMailbox(box), delivery) == ["Its body has been purged."]


def test_the_page_asks_where_to_says_what_that_does_and_does_it(world: World, box: Mailbox) -> None:
    client = client_of(make_staff())
    fit, unfit = put(world), put(world, State.DELIVERED)
    url = url_of(Delivery, "intervene", "reroute")
    data = {"ids": f"{fit.pk},{unfit.pk}", "list": "deliveries"}
    question = client.post(url, data).content.decode()
    assert "Reroute 2 deliveries: where to?" in question
    assert f'<option value="{box.address}">' in question

    data |= {"goal": "mailbox", "place": "NEW@store.example"}
    preview = client.post(url, data)
    page = preview.content.decode()
    assert "Reroute: 1 delivery to mailbox new@store.example?" in page
    assert "It has been delivered." in page
    assert outbox.states([fit, unfit]) == [State.DEFERRED, State.DELIVERED]

    data |= {"ids": preview.context_data["ids"], "sure": "yes"}
    assert "Say why" in client.post(url, data).content.decode()
    done = client.post(url, data | {"change_reason": "hop 1 is on fire"}, follow=True)
    assert "1 delivery is on another way." in done.content.decode()
    assert outbox.state(fit) == State.PENDING
    page = client.get(fit.get_absolute_url()).content.decode()
    assert "hop 1 is on fire" in page
    assert "→ mailbox new@store.example" in page


@pytest.mark.parametrize(
    ("goal", "place", "said"),
    [
        ("mailbox", "", "Write the address in full"),
        ("mailbox", "eve@store.example", "The tenant has no mailbox eve@store.example"),
        ("address", "not an address", "Write the address in full"),
        ("elsewhere", "", "Select a valid choice"),
    ],
)
def test_a_goal_that_cannot_be_is_told_at_its_field(
    world: World, goal: str, place: str, said: str
) -> None:
    make.make_mailbox(world.b, "eve@store.example")
    client, delivery = client_of(make_staff()), put(world)
    data = {"ids": str(delivery.pk), "goal": goal, "place": place, "sure": "yes"}
    url = url_of(Delivery, "intervene", "reroute")
    assert said in client.post(url, data | {"change_reason": "x"}).content.decode()
    assert outbox.state(delivery) == State.DEFERRED


def test_what_is_due_rings_the_bell(
    world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks
) -> None:
    rung: list[int] = []
    monkeypatch.setattr("gateway.bell.ring", lambda: rung.append(1))
    for act in (
        lambda row: to(ToMailbox(box), row),
        lambda row: retry_now([row.pk], actor=OPS),
    ):
        with django_capture_on_commit_callbacks(execute=True):
            act(put(world))
    assert len(rung) == 2


def draft_many(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int = 3
) -> tuple[Client, list[Delivery], Job]:
    """More deliveries than a request reroutes, chosen in the list for the box."""
    monkeypatch.setattr(interventions, "REROUTED_AT_ONCE", 2)
    client, rows = client_of(make_staff()), [put(world) for _ in range(count)]
    chosen = {"action": "reroute", "_selected_action": [str(row.pk) for row in rows]}
    page = client.post(url_of(Delivery, "changelist"), chosen)
    assert f"{count} deliveries. Workers first look at each of them" in page.content.decode()
    return client, rows, page.context_data["job"]


def test_more_than_a_request_reroutes_is_a_job_that_foretells_each(
    world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, rows, job = draft_many(world, monkeypatch)
    late = put(world)
    Delivery.objects.filter(pk=rows[0].pk).update(state=State.DELIVERED)
    url = url_of(Delivery, "intervene", "reroute")
    sent = {"job": str(job.pk), "goal": "mailbox", "place": "new@store.example"}
    assert "Say why" in client.post(url, sent).content.decode()
    sent["change_reason"] = "hop 1 is on fire"
    assert client_of(make_staff("other")).post(url, sent).status_code == 404
    wrong = client.post(url, sent | {"place": "eve@store.example"}).content.decode()
    assert "The tenant has no mailbox eve@store.example" in wrong

    foretold = client.post(url, sent, follow=True)
    checked = foretold.content.decode()
    assert "Reroute 3 deliveries to mailbox new@store.example" in checked
    assert "2 of 3 deliveries would change" in checked
    assert "It has been delivered." in checked
    assert outbox.states(rows) == [State.DELIVERED, State.DEFERRED, State.DEFERRED]

    start = job.get_absolute_url().removesuffix("change/") + "start/"
    client.post(start, {"checked": foretold.context_data["checked"]})
    assert outbox.states([*rows, late]) == [
        State.DELIVERED,
        State.PENDING,
        State.PENDING,
        State.DEFERRED,
    ]
    told = Intervention.objects.values_list("actor", "reason", "detail").distinct()
    [(actor, reason, detail)] = list(told.order_by())
    assert (actor, reason) == ("ops", "hop 1 is on fire")
    assert detail.endswith(
        "→ mailbox new@store.example: mailbox new@store.example via 127.0.0.1:2525"
    )


def test_a_job_whose_mailbox_went_away_says_so(
    world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows, job = draft_many(world, monkeypatch)
    direct(job, ToMailbox(box), reason="ticket 7")
    box.delete()
    assert jobs.check(job).result["error"] == rerouting.MAILBOX_GONE
    assert outbox.states(rows) == [State.DEFERRED] * 3


def test_only_the_oldest_fit_into_one_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerouting, "MOST", 2)
    rows = [put(world) for _ in range(3)]
    job = rerouting.draft_reroute(Delivery.objects.all(), actor=OPS)
    assert list(job.items.values_list("label", flat=True)) == [
        f"{row.recipient} ({row.pk})" for row in rows[:2]
    ]


def test_mail_follows_its_address_in_a_job_too(world: World, box: Mailbox) -> None:
    alias = make.make_alias(world.domain, WRITTEN_TO.partition("@")[0])
    alias.targets.update(mailbox=box)
    delivery = put(world)
    job = rerouting.draft_reroute(Delivery.objects.all(), actor=Actor.system("ops"))
    done = jobs.apply(direct(job, ToAddress(), reason="ticket 7"))
    assert (done.state, done.changed) == (Job.State.DONE, 1)
    delivery.refresh_from_db()
    assert delivery.recipient == "new@store.example"
