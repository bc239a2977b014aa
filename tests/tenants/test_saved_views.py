"""Saved views: a list's filters and order under a name, one's own or shared with all staff."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tenants.models import Alias, SavedView
from tenants.models.saved_view import normalise_query
from tests import world as make
from tests.pages import url_of
from tests.staff import client_of, make_staff
from tests.world import World, as_user

QUERY = "expiry=week&o=-1"


@pytest.fixture
def colleague(db: None) -> Client:
    return client_of(make_staff("kim"))


def save(client: Client, name: str = "Soon", **data: str) -> Any:
    return client.post(url_of(Alias, "view_save"), {"name": name, "query": QUERY} | data)


def tabs(client: Client, query: str = "") -> list[tuple[str, bool, str]]:
    page = client.get(f"{url_of(Alias, 'changelist')}?{query}")
    return [(tab.name, tab.is_open, tab.author) for tab in page.context_data["saved_views"]]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("?o=-1&expiry=week", "expiry=week&o=-1"),
        ("expiry=week&after=abc&p=3&e=1&q=", "expiry=week"),
        ("a=1&a=2", "a=1&a=2"),
        ("q=x%26y%3D1", "q=x%26y%3D1"),
        ("next=//evil.example/", "next=%2F%2Fevil.example%2F"),
    ],
)
def test_a_view_keeps_filters_and_order_but_not_the_place(given: str, kept: str) -> None:
    assert normalise_query(given) == kept


def test_a_view_is_saved_and_opens_the_list_as_it_was(client: Client, world: World) -> None:
    response = save(client)
    assert response["Location"] == f"{url_of(Alias, 'changelist')}?{QUERY}"
    assert tabs(client) == [("Soon", False, "")]
    assert tabs(client, "o=-1&expiry=week") == [("Soon", True, "")]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (QUERY, "expiry: Within 7 days; sorted by address, the last first"),
        ("", "all"),
        ("q=anna&state=disabled", "state: Disabled, begins with “anna”"),
        ("colour=red", "no longer understood: colour=red"),
    ],
)
def test_the_page_of_views_says_in_words_what_each_shows(
    client: Client, world: World, query: str, told: str
) -> None:
    save(client, query=query)
    page = client.get(url_of(Alias, "views"))
    assert [words for _, words in page.context_data["views"]] == [told]


def test_a_name_is_taken_once(client: Client, world: World) -> None:
    save(client)
    save(client, query="expiry=past")
    page = client.get(url_of(Alias, "changelist")).content.decode()
    assert "You have a view of this name for the list already." in page
    assert SavedView.objects.get().query == QUERY


def test_what_was_typed_and_refused_stands_there_still(client: Client, world: World) -> None:
    save(client, "First")
    save(client, "Second")
    save(client, "First", query="expiry=past", is_shared="on")
    url = url_of(Alias, "changelist")
    typed = client.get(url).context_data["typed_view"]
    assert (typed["name"], typed["is_shared"]) == ("First", True)
    assert client.get(url).context_data["typed_view"] == {}
    second = SavedView.objects.get(name="Second")
    page = client.post(url_of(Alias, "view_edit", second.pk), {"name": "First"}).content.decode()
    assert "You have a view of this name for the list already." in page
    assert page.count('value="First"') == 2


@pytest.mark.parametrize("name", ["", "   "])
def test_a_view_needs_a_name(client: Client, world: World, name: str) -> None:
    save(client, name)
    assert not SavedView.objects.exists()


def test_others_see_what_is_shared_alone(client: Client, colleague: Client, world: World) -> None:
    save(client, "Mine")
    save(client, "Ours", is_shared="on")
    assert tabs(colleague) == [("Ours", False, "ops")]
    assert len(tabs(client)) == 2


def test_a_view_is_renamed_shared_and_deleted_by_its_author(client: Client, world: World) -> None:
    save(client)
    view = SavedView.objects.get()
    client.post(url_of(Alias, "view_edit", view.pk), {"name": "Next week", "is_shared": "on"})
    view.refresh_from_db()
    assert (view.name, view.is_shared, view.query) == ("Next week", True, QUERY)
    assert "Next week" in client.get(url_of(Alias, "views")).content.decode()
    client.post(url_of(Alias, "view_delete", view.pk))
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("page", ["view_edit", "view_delete"])
def test_nobody_changes_anothers_view(
    client: Client, colleague: Client, world: World, page: str
) -> None:
    save(client, "Mine")
    save(client, "Ours", is_shared="on")
    mine, ours = SavedView.objects.order_by("name")
    assert colleague.post(url_of(Alias, page, mine.pk), {"name": "x"}).status_code == 404
    assert colleague.post(url_of(Alias, page, ours.pk), {"name": "x"}).status_code == 403
    assert {view.name for view in SavedView.objects.all()} == {"Mine", "Ours"}


def test_a_view_of_one_list_is_not_another_lists(client: Client, world: World) -> None:
    from tenants.models import Domain

    save(client)
    page = client.get(url_of(Domain, "changelist"))
    assert page.context_data["saved_views"] == []
    view = SavedView.objects.get()
    assert client.post(url_of(Domain, "view_delete", view.pk)).status_code == 404


@pytest.mark.parametrize("page", ["views", "view_save"])
def test_who_may_not_see_the_list_has_no_views_of_it(world: World, page: str) -> None:
    client = client_of(make_staff("guest", is_superuser=False))
    url = url_of(Alias, page)
    answer = client.get(url) if page == "views" else save(client)
    assert answer.status_code == 403
    assert not SavedView.objects.exists()


def test_a_member_of_a_tenant_sees_no_view_of_staff(world: World, ops: User) -> None:
    make.changes.save(
        SavedView(author=ops, listed="tenants.alias", name="x", is_shared=True),
        actor=as_user(ops, "admin"),
    )
    assert not SavedView.objects.visible_to(world.owner).exists()


def test_names_are_shown_as_text(client: Client, world: World) -> None:
    save(client, "<script>alert(1)</script>")
    assert "<script>alert(1)" not in client.get(url_of(Alias, "changelist")).content.decode()
