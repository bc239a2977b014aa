"""Pages of lists: every row once, in order, both ways, whatever the column holds."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from tenants.admin import paging
from tenants.admin.address import AliasAdmin
from tenants.admin.paging import Cursor, Page, Sort, read_page, read_page_before
from tenants.models import Alias, Domain
from tests import world as make
from tests.pages import url_of
from tests.world import World

SIZE = 3


@pytest.fixture
def aliases(world: World) -> list[str]:
    """Eleven, some of which expire, two of them at the same moment."""
    now = timezone.now()
    names = [f"a{number:02d}" for number in range(11)]
    for number, name in enumerate(names):
        expires = now + timedelta(days=number // 2) if number in (2, 3, 6, 9) else None
        make.make_alias(world.domain, name, expires_at=expires)
    return names


def forwards(rows: QuerySet, sort: Sort) -> list[list[Any]]:
    """All pages, from the first on."""
    pages = [read_page(rows, sort, SIZE)]
    while pages[-1].has_next:
        pages.append(read_page(rows, sort, SIZE, after=at(pages[-1], -1, sort)))
    return [page.rows for page in pages]


def backwards(rows: QuerySet, sort: Sort) -> list[list[Any]]:
    """All pages, from the last one back."""
    pages = [read_page(rows, sort, SIZE, is_last=True)]
    while pages[-1].has_previous:
        pages.append(read_page_before(rows, sort, SIZE, at(pages[-1], 0, sort)))
    return [page.rows for page in reversed(pages)]


def at(page: Page, number: int, sort: Sort) -> Cursor:
    """The place of one row of a page, as it travels in a link."""
    row = page.rows[number]
    return Cursor.parse(str(Cursor.at(row, sort)), sort)[0]


@pytest.mark.parametrize(
    "ordering",
    [
        "key",
        "-key",
        "expires_at",
        "-expires_at",
        "enabled",
        "-pk",
        "pk",
        "domain",
        "created_at",
        "owner",
    ],
)
def test_pages_hold_every_row_once_and_in_order(aliases: list[str], ordering: str) -> None:
    sort = Sort.of(Alias, [ordering])
    rows = Alias.objects.all()
    pages = forwards(rows, sort)
    seen = [row for page in pages for row in page]
    assert sorted(row.local_part for row in seen) == aliases
    assert [len(page) for page in pages] == [3, 3, 3, 2]
    back = backwards(rows, sort)
    assert {row.pk for page in back for row in page} == {row.pk for row in seen}
    keys = [(sort.value_of(row) is None, sort.value_of(row)) for row in seen]
    known = [value for is_missing, value in keys if not is_missing]
    assert known == sorted(known, reverse=sort.is_descending)
    assert [is_missing for is_missing, _ in keys] == sorted(is_missing for is_missing, _ in keys)


def test_a_row_that_leaves_shifts_no_page(aliases: list[str]) -> None:
    sort, rows = Sort.of(Alias, ["key"]), Alias.objects.all()
    first = read_page(rows, sort, SIZE)
    after = at(first, -1, sort)
    Alias.objects.filter(local_part__in=("a00", "a02")).delete()
    assert [row.local_part for row in read_page(rows, sort, SIZE, after=after).rows] == [
        "a03",
        "a04",
        "a05",
    ]


def test_a_short_page_before_is_the_first_page(aliases: list[str]) -> None:
    sort, rows = Sort.of(Alias, ["key"]), Alias.objects.all()
    second = rows.order_by("key")[2]
    page = read_page_before(rows, sort, SIZE, Cursor.at(second, sort))
    assert [row.local_part for row in page.rows] == ["a00", "a01", "a02"]
    assert (page.has_previous, page.has_next) == (False, True)


# --- in the list


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AliasAdmin, "list_per_page", SIZE)


def names(response: Any) -> list[str]:
    return [row.local_part for row in response.context_data["cl"].result_list]


@pytest.mark.usefixtures("short", "aliases")
def test_links_turn_pages_both_ways_and_keep_filters(client: Client) -> None:
    query = {"enabled__exact": "1", "q": "a", "o": "-1"}
    first = client.get(url_of(Alias, "changelist"), query)
    assert names(first) == ["a10", "a09", "a08"]
    assert first.context_data["cl"].previous_url == ""
    second = follow(client, first.context_data["cl"].next_url)
    assert names(second) == ["a07", "a06", "a05"]
    assert names(follow(client, second.context_data["cl"].previous_url)) == names(first)
    last = follow(client, second.context_data["cl"].last_url)
    assert names(last) == ["a02", "a01", "a00"]
    assert last.context_data["cl"].next_url == ""
    assert names(follow(client, last.context_data["cl"].first_url)) == names(first)
    for name, value in query.items():
        assert f"{name}={value}" in second.context_data["cl"].next_url


def follow(client: Client, url: str) -> Any:
    return client.get(url_of(Alias, "changelist") + url)


@pytest.mark.usefixtures("short", "aliases")
def test_another_filter_begins_at_the_first_page(client: Client) -> None:
    first = client.get(url_of(Alias, "changelist"))
    second = follow(client, first.context_data["cl"].next_url)
    assert "after=" not in second.context_data["cl"].get_query_string({"expiry": "week"})


@pytest.mark.usefixtures("short", "aliases")
@pytest.mark.parametrize(
    "text", ["x", "W10", "Im51bGwi", "eyJhIjoxfQ", "ÄÖ", "W251bGwsImEiXQ==", "WyJrZXkiLCJhIiwieCJd"]
)
def test_a_made_up_place_is_refused_politely(client: Client, text: str) -> None:
    response = client.get(url_of(Alias, "changelist"), {"after": text})
    assert response.status_code == 302
    assert response["Location"].endswith("?e=1")


@pytest.mark.usefixtures("short", "aliases")
def test_a_count_stops_at_its_cap(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ">11 aliases<" in squeeze(client.get(url_of(Alias, "changelist")))
    monkeypatch.setattr(paging, "COUNTED", 5)
    page = squeeze(client.get(url_of(Alias, "changelist")))
    assert ">5+ aliases<" in page
    assert ">Select all 5+ aliases<" in page
    assert ">All 5+ selected<" in page


def squeeze(response: Any) -> str:
    return " ".join(response.content.decode().split()).replace("> ", ">").replace(" <", "<")


def test_lists_of_few_sort_by_what_their_rows_point_at(client: Client, world: World) -> None:
    columns = list(client.get(url_of(Domain, "changelist")).context_data["cl"].list_display)
    tenant = columns.index("tenant")
    rows = client.get(url_of(Domain, "changelist"), {"o": f"-{tenant}"}).context_data["cl"]
    assert [row.tenant.name for row in rows.result_list] == ["B", "A"]


@pytest.mark.usefixtures("short", "aliases")
@pytest.mark.parametrize("counted", [4, 100])
def test_what_filters_pick_is_paged_alike_where_it_is_few_and_many(
    client: Client, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    monkeypatch.setattr(paging, "COUNTED", counted)
    first = client.get(url_of(Alias, "changelist"), {"q": "a0"})
    assert names(first) == ["a00", "a01", "a02"]
    assert names(follow(client, first.context_data["cl"].next_url)) == ["a03", "a04", "a05"]
    assert names(follow(client, first.context_data["cl"].last_url)) == ["a07", "a08", "a09"]


@pytest.mark.usefixtures("short", "aliases")
def test_a_walk_that_takes_too_long_is_sorted_by_id(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest first; the pages after it stay in that order."""
    monkeypatch.setattr(paging, "COUNTED", 4)
    slow = SlowOnce()
    monkeypatch.setattr(paging, "read_page", slow)
    first = client.get(url_of(Alias, "changelist"), {"q": "a0"})
    assert names(first) == ["a09", "a08", "a07"]
    assert "sorted by when they were made" in first.content.decode()
    second = follow(client, first.context_data["cl"].next_url)
    assert names(second) == ["a06", "a05", "a04"]
    assert "sorted by when they were made" in second.content.decode()
    assert names(follow(client, second.context_data["cl"].previous_url)) == names(first)


@pytest.mark.usefixtures("short", "aliases")
def test_a_later_page_is_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place is in the order asked for: another order would begin anew."""
    monkeypatch.setattr(paging, "COUNTED", 4)
    first = client.get(url_of(Alias, "changelist"), {"q": "a0"})
    monkeypatch.setattr(paging, "WALK_MS", 5)
    monkeypatch.setattr(paging, "read_page", SlowOnce(seconds=0.05))
    second = follow(client, first.context_data["cl"].next_url)
    assert names(second) == ["a03", "a04", "a05"]
    assert "sorted by when they were made" not in second.content.decode()


class SlowOnce:
    """Reads a page, but the first time takes longer than a statement may."""

    def __init__(self, *, seconds: float = 5) -> None:
        self.calls, self.seconds = 0, seconds

    def __call__(self, *args: Any, **kwargs: Any) -> Page:
        self.calls += 1
        if self.calls == 1:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s)", [self.seconds])
        return read_page(*args, **kwargs)
