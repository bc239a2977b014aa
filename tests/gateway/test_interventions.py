"""What operators do with deliveries: confirmed by an exact count, permitted, kept with names."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway.admin import interventions
from gateway.admin.deeds import DEEDS
from gateway.delivery import claim, fail, hold, outages, queue, release, retry_now
from gateway.delivery.actions import REACHED
from gateway.models import Delivery, Intervention, Message
from gateway.transports import Outcome, Result
from tenants.changes import Actor
from tenants.jobs import deliveries
from tenants.models import Job
from tests.gateway import outbox
from tests.pages import url_of
from tests.staff import client_of, make_staff

pytestmark = pytest.mark.django_db
State = Delivery.State
NAMES = sorted(set(DEEDS) - {"reroute"})  # which asks where to: test_rerouting.py
AFTER = {
    "retry": State.PENDING,
    "hold": State.HELD,
    "release": State.PENDING,
    "fail": State.FAILED,
}
LIST_NAMES = {"retry": "retry_now"}
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def ops() -> User:
    return make_staff()


@pytest.fixture
def client(ops: User) -> Client:
    return client_of(ops)


def put(state: str, count: int = 1, **fields: Any) -> list[Delivery]:
    recipients = tuple(f"box{number}@store.example" for number in range(count))
    later = timezone.now() + timedelta(hours=1)
    return outbox.put(recipients=recipients, state=state, **{"next_attempt_at": later} | fields)


def choose(client: Client, name: str, rows: list[Delivery], query: str = "", **data: str) -> Any:
    """Choose rows in the list and an action for them: the page that asks."""
    data = {"action": LIST_NAMES.get(name, name), **data}
    url = f"{url_of(Delivery, 'changelist')}{query}"
    return client.post(url, data | {"_selected_action": [str(row.pk) for row in rows]})


def confirm(client: Client, page: Any, reason: str = "ticket 7") -> Any:
    """Press the button of the page that asks."""
    told = page.context_data
    data = {"ids": told["ids"], "change_reason": reason, "sure": "yes"}
    data |= {"list": told["origin"].list, "filters": told["origin"].filters}
    return client.post(url_of(Delivery, "intervene", told["deed"].name), data, follow=True)


def texts(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


# --- the actions themselves


@pytest.mark.parametrize("state", State.values)
@pytest.mark.parametrize("name", NAMES)
def test_an_action_reaches_its_states_and_says_who_and_why(
    ops: User, name: str, state: str
) -> None:
    [delivery] = put(state)
    act = {"retry": retry_now, "hold": hold, "release": release, "fail": fail}[name]
    actor = Actor("admin", ops, request_id="r1", client="192.0.2.1")
    is_reached = state in REACHED[name]
    assert act([delivery.pk], actor=actor, reason="ticket 7") == is_reached
    assert outbox.state(delivery) == (AFTER[name] if is_reached else state)
    told = list(
        delivery.interventions.values_list(
            "action", "from_state", "actor", "user", "surface", "client", "request_id", "reason"
        )
    )
    row = (name, state, "ops", ops.pk, "admin", "192.0.2.1", "r1", "ticket 7")
    assert told == ([row] if is_reached else [])


@pytest.mark.parametrize(
    ("act", "state"),
    [(retry_now, State.FAILED), (retry_now, State.DEFERRED), (release, State.HELD)],
)
def test_old_mail_that_is_let_go_on_is_tried_for_a_lifetime_again(act: Any, state: str) -> None:
    [delivery] = put(state, received_at=timezone.now() - timedelta(days=6))
    act([delivery.pk], actor=Actor.system("script"))
    outbox.make_due(delivery.pk)  # the test's transaction is older than its statements
    [claimed] = claim(10)
    busy = Outcome(Result.DEFERRED, "451 4.3.2 Try again later")
    assert queue.judge(claimed, busy, spread=0.5)[0] == State.DEFERRED


def test_old_mail_that_is_let_go_on_waits_for_a_hop_that_is_out() -> None:
    hop = outbox.add_hop(25)
    old = {"hop": hop, "received_at": timezone.now() - timedelta(days=6)}
    [held] = outbox.put(state=State.HELD, **old)
    [waiting] = outbox.put(**old)
    release([held.pk], actor=Actor.system("script"))
    outages.report([outages.News(queue.lane_of("mailbox", hop.pk), "127.0.0.1:25", "refused")])
    assert outages.give_up() == 1
    assert outbox.states([held, waiting]) == [State.PENDING, State.FAILED]


def test_what_operators_did_cannot_be_rewritten() -> None:
    [delivery] = put(State.PENDING)
    hold([delivery.pk], actor=Actor.system("script"))
    for statement in (
        "UPDATE gateway_intervention SET actor = ''",
        "DELETE FROM gateway_intervention",
    ):
        with (
            pytest.raises(ProgrammingError, match="Cannot update or delete"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert Intervention.objects.get().actor == "script"


# --- from the list


@pytest.mark.parametrize("name", NAMES)
def test_the_list_asks_with_the_exact_count_and_then_acts(client: Client, name: str) -> None:
    state = REACHED[name][0]
    rows = [*put(state, 3), *put(State.DELIVERED, 2)]
    page = choose(client, name, rows, query="?kind=mailbox")
    assert f"{DEEDS[name].title}: 3 deliveries?" in page.content.decode()
    assert "Left as they are: 2 delivered" in page.content.decode()
    assert page.content.decode().count("It has been delivered.") == 2
    assert outbox.states(rows) == [state] * 3 + [State.DELIVERED] * 2
    after = confirm(client, page, "ticket 7")
    assert after.redirect_chain == [(f"{url_of(Delivery, 'changelist')}?kind=mailbox", 302)]
    assert texts(after)[0].startswith("3 deliveries are ")
    assert outbox.states(rows) == [AFTER[name]] * 3 + [State.DELIVERED] * 2
    assert Intervention.objects.filter(reason="ticket 7", actor="ops").count() == 3


def test_all_of_a_filtered_list_are_counted_and_no_others_reached(client: Client) -> None:
    rows = put(State.DEFERRED, 3)
    other = put(State.PENDING)
    page = choose(client, "hold", rows[:1], query="?state__exact=deferred", select_across="1")
    assert page.context_data["count"] == 3
    late = put(State.DEFERRED)
    after = confirm(client, page)
    assert texts(after) == ["3 deliveries are held."]
    assert outbox.states(rows + other + late) == [State.HELD] * 3 + [State.PENDING, State.DEFERRED]


def test_what_moved_on_meanwhile_is_left_alone_and_told(client: Client) -> None:
    rows = put(State.DEFERRED, 2)
    page = choose(client, "fail", rows)
    Delivery.objects.filter(pk=rows[0].pk).update(state=State.DELIVERED)
    after = confirm(client, page, "gone for good")
    assert texts(after) == [
        "1 delivery is given up.",
        "Moved on meanwhile, so left alone: 1 delivery.",
    ]
    assert outbox.states(rows) == [State.DELIVERED, State.FAILED]


def test_more_than_a_request_does_is_a_job_that_names_them_all(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interventions, "AT_ONCE", 2)
    monkeypatch.setattr(deliveries, "IDS_PER_ITEM", 2)
    rows = put(State.PENDING, 5)
    page = choose(client, "hold", rows)
    assert "Hold: 5 deliveries?" in page.content.decode()
    late = put(State.PENDING)
    Delivery.objects.filter(pk=rows[0].pk).update(state=State.DELIVERED)
    job = page.context_data["job"]
    data = {"job": str(job.pk), "sure": "yes", "change_reason": "ticket 7"}
    url = url_of(Delivery, "intervene", "hold")
    assert "Say why" in client.post(url, data | {"change_reason": ""}).content.decode()
    assert client.post(url_of(Delivery, "intervene", "fail"), data).status_code == 404
    assert client_of(make_staff("other")).post(url, data).status_code == 404
    after = client.post(url, data)
    assert after.url == job.get_absolute_url()
    assert outbox.states(rows + late) == [State.DELIVERED, *[State.HELD] * 4, State.PENDING]
    told = Intervention.objects.values_list("actor", "reason").distinct()
    assert list(told.order_by()) == [("ops", "ticket 7")]
    notes = list(job.items.values_list("note", flat=True))
    assert notes == ["1 of 2; 1 left: It has been delivered.", "2 of 2", "1 of 1"]
    assert client.get(after.url).status_code == 200


def test_to_look_at_very_many_writes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interventions, "AT_ONCE", 2)
    put(State.PENDING, 3)
    url, whose = url_of(Delivery, "intervene", "hold"), {"lane": "mailbox:0"}
    page = client.get(url, whose | {"list": "queue"}).content.decode()
    assert "Hold: more than 2 deliveries" in page
    assert f'name="lane" value="{whose["lane"]}"' in page
    assert not Job.objects.exists()

    counted = client.post(url, whose | {"list": "queue"})
    assert "Hold: 3 deliveries?" in counted.content.decode()
    assert counted.context_data["job"] == Job.objects.get()


def test_nothing_to_do_is_said_and_has_no_button(client: Client) -> None:
    page = choose(client, "release", put(State.PENDING)).content.decode()
    assert "Release: there is nothing to do" in page
    assert "panel-primary" not in page


def test_what_lost_its_body_is_not_retried_and_that_is_said(client: Client) -> None:
    [delivery] = put(State.FAILED)
    Message.objects.update(purged_at=timezone.now())
    page = choose(client, "retry", [delivery]).content.decode()
    assert "Retry now: there is nothing to do" in page
    assert "Its body has been purged." in page


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_done_without_a_reason(client: Client, name: str) -> None:
    [delivery] = put(REACHED[name][0])
    before = outbox.state(delivery)
    page = confirm(client, choose(client, name, [delivery], query="?kind=mailbox"), "  ")
    assert "Say why" in page.content.decode()
    assert page.context_data["origin"].filters == "kind=mailbox"
    assert outbox.state(delivery) == before
    confirm(client, page, "now with one")
    assert outbox.state(delivery) == AFTER[name]


def test_a_reason_to_fail_stands_in_place_of_a_reply(client: Client) -> None:
    [delivery] = put(State.DEFERRED)
    confirm(client, choose(client, "fail", [delivery]), "recipient left")
    assert outbox.state(delivery) == State.FAILED
    assert delivery.last_reply == "recipient left"


def test_many_cost_no_more_queries_than_few(client: Client) -> None:
    def cost(count: int) -> int:
        page = choose(client, "hold", put(State.PENDING, count))
        with CaptureQueriesContext(connection) as captured:
            confirm(client, page)
        return len(captured)

    assert cost(2) == cost(30)


# --- from a delivery's page


def test_a_page_offers_what_its_state_allows(client: Client) -> None:
    for state in State.values:
        [delivery] = put(state)
        deeds = client.get(delivery.get_absolute_url()).context_data["deeds"]
        assert {deed.name for deed in deeds} == {n for n in DEEDS if state in REACHED[n]}, state


def test_a_page_leads_to_the_question_back_and_shows_who_did_it(client: Client) -> None:
    [delivery] = put(State.QUARANTINED)
    url = f"{url_of(Delivery, 'intervene', 'retry')}?ids={delivery.pk}"
    assert f'href="{url}"' in client.get(delivery.get_absolute_url()).content.decode()
    question = client.get(url)
    assert "Retry now: 1 delivery?" in question.content.decode()
    assert outbox.state(delivery) == State.QUARANTINED
    after = confirm(client, question, f"worker mended {EVIL}")
    assert after.redirect_chain == [(delivery.get_absolute_url(), 302)]
    page = after.content.decode()
    for text in ("retry now", "quarantined", "ops (admin)", "worker mended &lt;script&gt;"):
        assert text in page
    assert EVIL not in page


# --- who may


@pytest.mark.parametrize("name", NAMES)
def test_whoever_may_only_look_can_do_nothing(name: str) -> None:
    auditor = make_staff("auditor", is_superuser=False)
    auditor.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    client = client_of(auditor)
    [delivery] = put(REACHED[name][0])
    hold([delivery.pk], actor=Actor.system("script"), reason="seen by all")
    before = outbox.state(delivery)
    url = url_of(Delivery, "intervene", name)
    page = client.get(delivery.get_absolute_url()).content.decode()
    assert url not in page
    assert "script" in page
    assert client.get(url, {"ids": str(delivery.pk)}).status_code == 403
    assert (
        client.post(url, {"ids": str(delivery.pk), "change_reason": "x", "sure": "1"}).status_code
        == 403
    )
    choose(client, name, [delivery])
    assert outbox.state(delivery) == before


def test_whoever_may_change_deliveries_may_act() -> None:
    operator = make_staff("operator", is_superuser=False)
    for codename in ("view_delivery", "change_delivery"):
        operator.user_permissions.add(Permission.objects.get(codename=codename))
    client = client_of(operator)
    [delivery] = put(State.PENDING)
    confirm(client, choose(client, "hold", [delivery]))
    assert outbox.state(delivery) == State.HELD


@pytest.mark.parametrize(("name", "ids"), [("hold", "1; DROP"), ("explode", "")])
def test_what_no_page_sends_is_a_bad_request(client: Client, name: str, ids: str) -> None:
    url = f"/admin/gateway/delivery/intervene/{name}/"
    assert client.post(url, {"ids": ids}).status_code == 400
