"""How long the panel's pages take: which are opened, how they are timed, what is written of it.

Pages are found by reading the lists themselves, so that a new filter or column is measured without
being named here.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

from django.contrib.admin import (
    BooleanFieldListFilter,
    ChoicesFieldListFilter,
    RelatedFieldListFilter,
    SimpleListFilter,
)
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.http import urlencode

from gateway.models import (
    Counter,
    Delivery,
    Message,
    Quarantined,
    RefusalCount,
    RoutingRecord,
)
from gateway.watch.models import Alarm, AlarmRecipient
from tenants.admin.paging import KeysetChangeList
from tenants.models import (
    Alias,
    Domain,
    Export,
    Job,
    Mailbox,
    Membership,
    NextHop,
    Plan,
    RoleAddress,
    SendAsIdentity,
    Source,
    SubaddressRule,
    Tenant,
)

LISTS: tuple[type[Model], ...] = (
    *(Tenant, Plan, Domain, Alias, RoleAddress, SubaddressRule, Mailbox, NextHop),
    *(SendAsIdentity, Membership, RoutingRecord, Delivery, Quarantined, Message, RefusalCount),
    *(Counter, Alarm, AlarmRecipient, Job, Source, Export),
)
# Filters that are mostly chosen together, by their names in a list's address.
TOGETHER: dict[type[Model], tuple[str, ...]] = {
    Alias: ("tenant&used=idle", "tenant&state=disabled", "tenant&concern=broken", "tenant&q=anna"),
    RoutingRecord: ("tenant&reason=virus", "tenant&within=hour"),
    Delivery: ("tenant&waiting=yes", "tenant&state__exact=failed"),
}
BEGIN = "<!-- begin of the table: written by manage.py measure_pages -->\n"
END = "<!-- end of the table -->\n"


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that is to be measured: of which list, what it shows, and where."""

    group: str
    kind: str
    detail: str
    url: str


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a page took each time, in milliseconds, and how often it asked the database."""

    page: Opened
    milliseconds: tuple[float, ...]
    queries: int

    @property
    def median(self) -> float:
        return median(self.milliseconds)

    @property
    def worst(self) -> float:
        return max(self.milliseconds)


def pages(client: Client) -> Iterator[Opened]:
    """Every main page, those of lists as deep, as narrow and as sorted as they go."""
    yield Opened("Overview", "page", "", reverse("admin:index"))
    yield Opened("Explain", "page", "", reverse("admin:explain"))
    yield Opened("Queue", "counted anew", "", f"{reverse('admin:queue')}?now")
    yield from _searches()
    for model in LISTS:
        url = _url(model, "changelist")
        yield from _list(client, str(model._meta.verbose_name_plural).capitalize(), model, url)


def _searches() -> Iterator[Opened]:
    """What is pasted into the one search box: some of all, whole, begun and unknown."""
    key = Alias.objects.order_by("-pk").values_list("key", flat=True).first() or "x@nobody.example"
    newest = RoutingRecord.objects.order_by("-pk").values_list("queue_id", flat=True).first()
    tenant = Tenant.objects.order_by("pk").values_list("name", flat=True).first()
    for detail, term in (
        ("an address", key),
        ("its first letters", key[:4]),
        ("a domain", key.rpartition("@")[2]),
        ("a tenant", tenant or "nobody"),
        ("a queue id", newest or "nothing"),
        ("nothing found", "zzz-nobody@nowhere.example"),
    ):
        yield Opened(
            "Search", "searches", detail, f"{reverse('admin:search')}?{urlencode({'q': term})}"
        )


def measure(client: Client, page: Opened, times: int) -> Timing:
    """Open a page once to warm up and count, and then so often."""
    with CaptureQueriesContext(connection) as captured:
        _get(client, page.url)
    queries = len(captured)  # the next request forgets them
    return Timing(page, tuple(_time(client, page.url) for _ in range(times)), queries)


def table(timings: Iterable[Timing]) -> Iterator[tuple[str, ...]]:
    """A line for each list and kind of page: of many alike, their median and their worst."""
    for (group, kind), found in groupby(
        timings, lambda timing: (timing.page.group, timing.page.kind)
    ):
        alike = list(found)
        slowest = max(alike, key=lambda timing: timing.median)
        name = f"{kind} ({len(alike)})" if len(alike) > 1 else kind
        yield (
            *(group, name, f"{median(timing.median for timing in alike):.0f}"),
            *(f"{slowest.median:.0f}", f"{max(timing.worst for timing in alike):.0f}"),
            *(slowest.page.detail, str(max(timing.queries for timing in alike))),
        )


def markdown(rows: Sequence[tuple[str, ...]], about: str) -> str:
    """The table as it stands in the guide."""
    head = ("List", "Pages", "Median ms", "Slowest ms", "Worst ms", "Which", "Queries")
    lines = [head, ("---", "---", "---:", "---:", "---:", "---", "---:"), *rows]
    return f"{about}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def put_between_marks(text: str, new: str) -> str:
    """A guide's text with its table replaced. Raises ValueError where the marks are gone."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"The marks around the table are gone: {BEGIN.strip()} {END.strip()}")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def _list(client: Client, group: str, model: type[Model], url: str) -> Iterator[Opened]:
    shown: KeysetChangeList = _get(client, url).context_data["cl"]
    yield Opened(group, "first page", "", url)
    if shown.page.has_next:
        last: KeysetChangeList = _get(client, url + shown.last_url).context_data["cl"]
        yield Opened(group, "last pages", "the last", url + shown.last_url)
        yield Opened(group, "last pages", "the last but one", url + last.previous_url)
    queries = list(_filters(shown))
    yield from (Opened(group, "filters", query, f"{url}?{query}") for query in queries)
    tenants = [query for query in queries if "tenant__id__exact" in query][:1]
    for query in (TOGETHER.get(model) or ()) if tenants else ():
        chosen = query.replace("tenant", tenants[0], 1)
        yield Opened(group, "several filters", chosen, f"{url}?{chosen}")
    yield from (Opened(group, "orders", query, f"{url}?{query}") for query in _orders(shown))
    if row := next(iter(shown.result_list), None):
        yield from _row(group, shown, row, url)


def _row(group: str, shown: KeysetChangeList, row: Any, url: str) -> Iterator[Opened]:
    term = str(getattr(row, "key", "") or getattr(row, "name", "") or row.pk)
    yield Opened(group, "searches", "a whole name", f"{url}?q={term}")
    yield Opened(group, "searches", "its first letters", f"{url}?q={term[:4]}")
    yield Opened(group, "searches", "nothing found", f"{url}?q=zzz-nobody")
    yield Opened(group, "a row's page", "", _url(shown.model, "change", row.pk))
    if hasattr(shown.model._meta.concrete_model, "pgh_event_model"):
        yield Opened(group, "a row's history", "", _url(shown.model, "history", row.pk))


def _filters(shown: KeysetChangeList) -> Iterator[str]:
    """Each choice of each filter; of related rows the first and the last one."""
    for spec in shown.filter_specs:
        for name, value in _choices(spec):
            yield f"{name}={value}"


def _choices(spec: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(spec, SimpleListFilter):
        yield from ((str(spec.parameter_name), value) for value, _ in spec.lookup_choices)
    elif isinstance(spec, RelatedFieldListFilter):
        related: Any = spec.field.related_model
        rows = related._default_manager.order_by("pk")
        ends = {row.pk: row for row in (rows.first(), rows.last()) if row is not None}
        yield from ((spec.lookup_kwarg, pk) for pk in ends)
    elif isinstance(spec, BooleanFieldListFilter):
        yield from ((spec.lookup_kwarg, value) for value in (1, 0))
    elif isinstance(spec, ChoicesFieldListFilter):
        yield from ((spec.lookup_kwarg, value) for value, _ in spec.field.flatchoices)


def _orders(shown: KeysetChangeList) -> Iterator[str]:
    """Each column that the list may be sorted by, both ways."""
    for number, column in enumerate(shown.list_display):
        is_allowed = shown.sortable_by is None or column in shown.sortable_by
        if is_allowed and column != "action_checkbox" and shown.get_ordering_field(column):
            yield f"o={number}"
            yield f"o=-{number}"


def _url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def _time(client: Client, url: str) -> float:
    began = time.perf_counter()
    _get(client, url)
    return (time.perf_counter() - began) * 1000


def _get(client: Client, url: str) -> Any:
    response = client.get(url, secure=True)
    if response.status_code != 200:
        raise ValueError(f"{url} answers {response.status_code}.")
    return response
