"""The queue by destination, and what is kept back: true figures that lead to their rows."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from gateway.admin import filters
from gateway.admin.quarantine import why
from gateway.delivery import backlog, hold
from gateway.models import Delivery, Outage, Quarantined, RoutingRecord
from tenants.changes import Actor
from tests.gateway import outbox
from tests.pages import url_of
from tests.staff import client_of, make_staff

pytestmark = pytest.mark.django_db
State = Delivery.State
QUEUE = "/admin/queue/"


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    cache.clear()


@pytest.fixture
def client() -> Client:
    return client_of(make_staff())


def put(hop: Any, state: str, count: int = 1, **fields: Any) -> list[Delivery]:
    names = tuple(f"box{number}@store.example" for number in range(count))
    return outbox.put(hop, recipients=names, state=state, **fields)


def test_each_destination_counts_what_is_not_settled(client: Client) -> None:
    hop, other = outbox.add_hop(2525), outbox.add_hop(2526)
    old = timezone.now() - timedelta(hours=5)
    put(hop, State.PENDING, 3, received_at=old)
    put(hop, State.DEFERRED, 2, last_reply="451 busy <b>")
    put(hop, State.HELD)
    put(hop, State.DELIVERED, 7)
    put(other, State.SENDING)
    put(None, State.QUARANTINED, kind="forward")
    found = {each.name: each for each in backlog.read().destinations}
    assert found[hop.name].counts == {"pending": 3, "deferred": 2, "held": 1}
    assert found[hop.name].oldest == old
    assert found[hop.name].last_error == "451 busy <b>"
    assert found[other.name].counts == {"sending": 1}
    assert found["smarthost"].counts == {"quarantined": 1}
    page = client.get(QUEUE).content.decode()
    assert "451 busy &lt;b&gt;" in page
    assert "5 hours" in page.replace("\xa0", " ")


def test_each_figure_leads_to_as_many_deliveries(client: Client) -> None:
    hop = outbox.add_hop(2525)
    put(hop, State.PENDING, 3)
    put(hop, State.HELD, 2)
    put(outbox.add_hop(2526), State.PENDING, 4)
    put(None, State.PENDING, 5, kind="forward")
    for row in client.get(QUEUE).context_data["rows"]:
        for figure in row.figures:
            rows = client.get(figure.url).context_data["cl"].result_list
            assert len(rows) == figure.count, figure.url


def test_an_outage_stands_beside_its_destination_also_where_nothing_waits(client: Client) -> None:
    hop = outbox.add_hop(2525)
    until = timezone.now() + timedelta(minutes=5)
    Outage.objects.create(
        lane=f"mailbox:{hop.pk}",
        since=timezone.now(),
        failures=4,
        until=until,
        place="127.0.0.1:2525",
        reply="Connection refused",
    )
    page = client.get(QUEUE).content.decode()
    assert hop.name in page
    assert "cannot be reached" in page
    assert "Connection refused" in page


def test_a_count_is_kept_for_a_moment_and_made_anew_where_asked(client: Client) -> None:
    put(outbox.add_hop(2525), State.PENDING)
    client.get(QUEUE)
    Delivery.objects.all().delete()
    assert client.get(QUEUE).context_data["rows"]
    assert not client.get(QUEUE, {"now": "1"}).context_data["rows"]
    assert "Nothing waits" in client.get(QUEUE).content.decode()


def test_all_of_a_destination_are_held_and_no_others(client: Client) -> None:
    hop = outbox.add_hop(2525)
    rows, others = put(hop, State.PENDING, 3), put(outbox.add_hop(2526), State.PENDING)
    [row] = [r for r in client.get(QUEUE).context_data["rows"] if r.destination.hop == hop]
    url = next(url for deed, url in row.deeds if deed.name == "hold")
    page = client.get(url)
    assert "Hold: 3 deliveries?" in page.content.decode()
    told = page.context_data
    data = {"ids": told["ids"], "list": told["origin"].list, "sure": "yes", "change_reason": "x"}
    after = client.post(url_of(Delivery, "intervene", "hold"), data, follow=True)
    assert after.redirect_chain == [(f"{QUEUE}?", 302)]
    assert outbox.states(rows + others) == [State.HELD] * 3 + [State.PENDING]


@pytest.mark.parametrize("lane", ["", "mailbox", "mailbox:x", "nothing:1"])
def test_a_lane_that_is_none_reaches_nothing(client: Client, lane: str) -> None:
    put(outbox.add_hop(2525), State.PENDING)
    page = client.get(url_of(Delivery, "intervene", "hold"), {"lane": lane})
    assert "there is nothing to do" in page.content.decode()


def test_who_may_only_look_sees_figures_and_no_buttons() -> None:
    auditor = make_staff("auditor", is_superuser=False)
    put(outbox.add_hop(2525), State.PENDING)
    client = client_of(auditor)
    assert client.get(QUEUE).status_code == 403
    assert client.get(url_of(Quarantined, "changelist")).status_code == 403
    auditor.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    assert "intervene" not in client.get(QUEUE).content.decode()
    page = client.get(url_of(Quarantined, "changelist"))
    assert page.status_code == 200
    assert "Release" not in page.content.decode()


# --- what is kept back


def test_what_is_kept_back_says_why_and_what_was_found(client: Client) -> None:
    [crashed] = put(None, State.QUARANTINED, crashes=3, last_reply="The worker ended <b>")
    [filtered] = put(None, State.HELD, last_reply="content filter: virus")
    [by_hand] = put(None, State.PENDING)
    put(None, State.DELIVERED)
    hold([by_hand.pk], actor=Actor("admin", name="jo"), reason="asked to")
    steps = [["DMARC", "fail", ""], ["content filter", "held", "virus, reject, 20.00 of 15.00"]]
    RoutingRecord.objects.filter(pk=filtered.record_id).update(trace=steps)
    response = client.get(url_of(Quarantined, "changelist"))
    page = response.content.decode()
    assert {row.pk for row in response.context_data["cl"].result_list} == {
        crashed.pk,
        filtered.pk,
        by_hand.pk,
    }
    for text in (
        "its worker ended 3 times: The worker ended &lt;b&gt;",
        "content filter: virus",
        "held by jo: asked to",
        "DMARC fail, held: virus, reject, 20.00 of 15.00",
        crashed.get_absolute_url(),
    ):
        assert text in page


def test_what_is_kept_back_is_released_in_bulk_and_leads_back(client: Client) -> None:
    rows = [*put(None, State.QUARANTINED), *put(None, State.HELD)]
    url = url_of(Quarantined, "changelist")
    data = {"action": "release", "_selected_action": [str(row.pk) for row in rows]}
    page = client.post(url, data)
    assert "Release: 2 deliveries?" in page.content.decode()
    told = page.context_data
    data = {"ids": told["ids"], "list": told["origin"].list, "sure": "yes", "change_reason": "ok"}
    after = client.post(url_of(Delivery, "intervene", "release"), data, follow=True)
    assert after.redirect_chain[0][0].startswith(url)
    assert outbox.states(rows) == [State.PENDING] * 2


def test_a_policy_s_word_stands_until_staff_hold_it_themselves() -> None:
    [delivery] = put(None, State.HELD, last_reply="sender authentication: DMARC fail")
    assert why(delivery) == "sender authentication: DMARC fail"


def test_settled_deliveries_of_a_destination_are_sought_among_the_newest(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "NEWEST", 2)
    hop = outbox.add_hop(2525)
    old = put(hop, State.DELIVERED)[0], put(hop, State.HELD)[0]
    newest = put(hop, State.DELIVERED, 2)

    def listed(**query: str) -> set[Any]:
        url = url_of(Delivery, "changelist")
        found = client.get(url, {"lane": f"mailbox:{hop.pk}"} | query).context_data["cl"]
        return {row.pk for row in found.result_list}

    assert listed() == {row.pk for row in newest}
    assert listed(state__exact="held") == {old[1].pk}
    kept = client.get(url_of(Quarantined, "changelist"), {"lane": f"mailbox:{hop.pk}"})
    assert len(kept.context_data["cl"].result_list) == 1


def test_what_takes_too_long_to_count_is_counted_so_far(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_COUNT", "SELECT pg_sleep(9)")
    monkeypatch.setattr(backlog, "EXACT_MS", 5)
    monkeypatch.setattr(backlog, "MOST", 2)
    monkeypatch.setattr(backlog, "MOST_OF_STATE", 2)
    hop, other = outbox.add_hop(2525), outbox.add_hop(2526)
    put(hop, State.PENDING, 4)
    put(hop, State.HELD, 2)
    put(other, State.PENDING)
    put(other, State.DEFERRED, 3, last_reply="451 busy")
    put(None, State.PENDING, kind="forward")
    found = {each.name: each for each in backlog.read().destinations}
    assert found[hop.name].counts == {"pending": 2, "held": 2}
    assert found[hop.name].capped == {"pending"}
    assert found[other.name].counts == {"pending": 1, "deferred": 2}
    assert found[other.name].capped == {"deferred"}
    assert found[other.name].last_error == "451 busy"
    assert found["smarthost"].capped == set()
    page = client.get(QUEUE).content.decode()
    assert ">2+</a>" in page
    assert "at least" in page


def test_any_next_hop_is_found_by_typing_and_a_link_s_is_named(client: Client) -> None:
    hop = outbox.add_hop(2525)
    waiting = {row.pk for row in put(hop, State.PENDING, 2)}
    old = {row.pk for row in put(hop, State.DELIVERED, 1)}
    put(outbox.add_hop(2526), State.PENDING, 1)
    url = url_of(Delivery, "changelist")

    def listed(**query: Any) -> Any:
        return client.get(url, query).context_data["cl"]

    assert {row.pk for row in listed(hop__id__exact=hop.pk).result_list} == waiting | old
    found = listed(hop__id__exact=hop.pk, waiting="yes").result_list
    assert {row.pk for row in found} == waiting
    [spec] = [
        spec
        for spec in listed(lane=f"mailbox:{hop.pk}").filter_specs
        if getattr(spec, "parameter_name", "") == "lane"
    ]
    assert spec.lookup_choices[0] == (f"mailbox:{hop.pk}", hop.name)
    assert [name for _, name in spec.lookup_choices[1:]] == ["smarthost", "stored inbox", "discard"]
    of_field = {"app_label": "gateway", "model_name": "delivery", "field_name": "hop"}
    typed = client.get("/admin/autocomplete/", {"term": hop.name[:3], **of_field}).json()
    assert str(hop.pk) in [row["id"] for row in typed["results"]]
