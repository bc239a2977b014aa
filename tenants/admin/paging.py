"""Lists that turn their pages by where the last one ended, not by how many rows came before it.

A page is found by one comparison of (sort column, id) with an index behind it, so that the deepest
one costs what the first does, and rows that come and go meanwhile shift nothing. The price: pages
have no numbers.

Filters may pick rows that lie anywhere in that order. Where they pick few, those are found first
and sorted then. Where they pick many, the order is walked for a moment; if it holds too few of
them, the list is sorted by id instead, which is said above it.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Self

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.paginator import Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import BooleanField, F, Field, Func, Model, Q, QuerySet, Value
from django.http import HttpRequest
from django.utils.functional import cached_property
from psycopg.errors import QueryCanceled
from unfold.views import ChangeList

from tenants.counting import COUNTED, print_capped

WALK_MS = 80  # for which the order of a list is walked, looking for rows that its filters pick
AFTER, BEFORE = "after", "before"
END = "end"  # the last page is the one before the end


class CappedPaginator(Paginator):
    """Counts no further than COUNTED rows: a list of millions opens as fast as a short one."""

    template_name = "admin/panel/pagination.html"

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: COUNTED + 1].count())

    @property
    def shown(self) -> str:
        """The count as it is read: "812", or "10,000+"."""
        return print_capped(self.count, COUNTED)


@dataclass(frozen=True, slots=True)
class Sort:
    """The column that a list is sorted by, and which way; rows without a value come last."""

    path: str
    field: Field
    key_field: Field
    is_descending: bool = False
    is_nullable: bool = False

    @classmethod
    def of(cls, model: type[Model], ordering: Sequence[Any]) -> Self:
        """The first of these names that is one; a relation stands for how its rows are sorted."""
        name = next((each for each in ordering if isinstance(each, str)), "pk")
        path = _to_column(model, name.removeprefix("-"))
        fields = get_fields_from_path(model, path)
        is_nullable = any(getattr(field, "null", False) for field in fields)
        key_field: Any = model._meta.pk
        return cls(path, fields[-1], key_field, name.startswith("-"), is_nullable)

    @property
    def is_by_key(self) -> bool:
        """Whether the column is the list's own key, which needs no second one beside it."""
        return "__" not in self.path and bool(self.field.primary_key)

    def by_id(self) -> "Sort":
        """The newest first, which every list can be sorted by."""
        return Sort(self.key_field.name, self.key_field, self.key_field, is_descending=True)

    def order_by(self, *, is_backward: bool = False) -> list[Any]:
        """For a queryset: this column, then the id, both the same way."""
        is_descending = self.is_descending is not is_backward
        names = [self.path] if self.is_by_key else [self.path, "pk"]
        return [F(name).desc() if is_descending else F(name).asc() for name in names]

    def segments(self, cursor: "Cursor | None", *, is_backward: bool) -> list[Q]:
        """What to look through, one after the other, from the cursor on."""
        if not self.is_nullable:
            return [Q()]
        found = [Q(**{f"{self.path}__isnull": False}), Q(**{f"{self.path}__isnull": True})]
        if is_backward:
            found.reverse()
        is_among_last = cursor is not None and (cursor.value is None) is not is_backward
        return found[1:] if is_among_last else found

    def beyond(self, cursor: "Cursor", *, is_backward: bool) -> Func | Q:
        """The rows of the cursor's segment that come after it, or before it."""
        is_descending = self.is_descending is not is_backward
        if cursor.value is None or self.is_by_key:
            return Q(**{"pk__lt" if is_descending else "pk__gt": cursor.pk})
        value = Value(cursor.value, output_field=self.field)
        key = Value(cursor.pk, output_field=cursor.key_field)
        operator = "<" if is_descending else ">"
        return _compared(_row(F(self.path), F("pk")), operator, _row(value, key))

    def value_of(self, row: Any) -> Any:
        """None where a row on the way to the column is missing."""
        try:
            return attrgetter(self.path.replace("__", "."))(row)
        except (AttributeError, ObjectDoesNotExist):
            return None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows: the row that it follows or precedes, by column and id."""

    path: str  # the column that the list is sorted by there
    value: Any
    pk: Any
    key_field: Field

    @classmethod
    def at(cls, row: Any, sort: Sort) -> Self:
        return cls(sort.path, sort.value_of(row), row.pk, row._meta.pk)

    @classmethod
    def parse(cls, text: str, sort: Sort) -> tuple[Self, Sort]:
        """What `str` printed, and the sort it is about: the list's, or the one by id.

        Raises IncorrectLookupParameters for anything else.
        """
        try:
            path, value, pk = json.loads(base64.urlsafe_b64decode(text.encode()))
            by = sort if path == sort.path else sort.by_id()
            value = None if value is None else by.field.to_python(value)
            return cls(by.path, value, by.key_field.to_python(pk), by.key_field), by
        except (binascii.Error, ValueError, TypeError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error

    def __str__(self) -> str:
        value = None if self.value is None else str(self.value)
        text = json.dumps([self.path, value, str(self.pk)], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the list's order, and whether there are more on either side."""

    rows: list[Any]
    has_previous: bool
    has_next: bool


def read_page(
    rows: QuerySet, sort: Sort, size: int, *, after: Cursor | None = None, is_last: bool = False
) -> Page:
    """The first page, the one after a place, or the last one."""
    found = _walk(rows, sort, after, size + 1, is_backward=is_last)
    has_more = len(found) > size
    if is_last:
        return Page(found[:size][::-1], has_previous=has_more, has_next=False)
    return Page(found[:size], has_previous=after is not None, has_next=has_more)


def read_page_before(rows: QuerySet, sort: Sort, size: int, before: Cursor) -> Page:
    """The page that ends at a place; the first one where that has fewer rows than a page holds."""
    found = _walk(rows, sort, before, size + 1, is_backward=True)
    if len(found) <= size:
        return read_page(rows, sort, size)
    return Page(found[:size][::-1], has_previous=True, has_next=True)


def _walk(
    rows: QuerySet, sort: Sort, cursor: Cursor | None, most: int, *, is_backward: bool
) -> list[Any]:
    found: list[Any] = []
    ordered = rows.order_by(*sort.order_by(is_backward=is_backward))
    for number, segment in enumerate(sort.segments(cursor, is_backward=is_backward)):
        here = ordered.filter(segment)
        if number == 0 and cursor is not None:
            here = here.filter(sort.beyond(cursor, is_backward=is_backward))
        found += here[: most - len(found)]
        if len(found) == most:
            break
    return found


def _compared(left: Any, operator: str, right: Any) -> Func:
    return Func(
        left,
        right,
        template="%(expressions)s",
        arg_joiner=f" {operator} ",
        output_field=BooleanField(),
    )


def _row(*expressions: Any) -> Func:
    """Several values as one, which PostgreSQL compares one after the other."""
    return Func(*expressions, template="(%(expressions)s)", output_field=BooleanField())


def _to_column(model: type[Model], path: str) -> str:
    """The path, on to the first column that a relation's own rows are sorted by."""
    if path == "pk":
        return str(model._meta.pk.name) if model._meta.pk else path
    field: Any = get_fields_from_path(model, path)[-1]
    if not field.is_relation:
        return path
    related = field.related_model._meta
    ordering = related.ordering or [related.pk.name]
    return _to_column(model, f"{path}__{str(ordering[0]).removeprefix('-')}")


@contextmanager
def at_most(milliseconds: int | None) -> Iterator[None]:
    """Let no statement inside take longer. Raises OperationalError once one does."""
    if milliseconds is None:
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
        yield
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")


class KeysetChangeList(ChangeList):
    """A list whose `after` and `before` in the address say where its page begins or ends."""

    sort: Sort
    page: Page
    is_resorted = False  # by id, since what its filters pick is far apart in the order asked for

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet:
        """Where one page ends is no filter: links to other filters begin at the first page."""
        for name in (AFTER, BEFORE):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[Any]:
        """One column and the id: more have no index."""
        self.sort = Sort.of(self.model, super().get_ordering(request, queryset))
        return self.sort.order_by()

    def get_results(self, request: HttpRequest) -> None:
        paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        self.paginator = paginator
        rows = self._narrowed(request) if self.get_filters_params() or self.query else self.queryset
        self.result_count = paginator.count
        self.full_result_count = self.result_count  # so that the head of the page repeats no count
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.result_count <= self.list_max_show_all
        self.multi_page = self.result_count > self.list_per_page
        page = self._read(request, rows)
        self.page = page if rows is self.queryset else self._whole(page)
        self.result_list = self.page.rows
        self.model_admin.complete(self.result_list)

    def _narrowed(self, request: HttpRequest) -> QuerySet:
        """The rows that the filters pick: by their ids, where they are few enough to be counted."""
        picked = list(self.queryset.order_by().values_list("pk", flat=True)[: COUNTED + 1])
        self.paginator.count = len(picked)
        if len(picked) > COUNTED:
            return self.queryset
        # As one array: so many parameters take longer than the question.
        keys = Value(picked, output_field=ArrayField(self.lookup_opts.pk))
        few = self.root_queryset.filter(_compared(F("pk"), "=", Func(keys, function="ANY")))
        return few.select_related(None).prefetch_related(None).only("pk")

    def _whole(self, page: Page) -> Page:
        """The same page, its rows with all that the list shows of them."""
        wanted = [row.pk for row in page.rows]
        rows = self.apply_select_related(self.root_queryset.filter(pk__in=wanted))
        found = {row.pk: row for row in rows}
        return replace(page, rows=[found[pk] for pk in wanted if pk in found])

    def _read(self, request: HttpRequest, rows: QuerySet) -> Page:
        if self.show_all and self.can_show_all:
            return Page(list(rows.order_by(*self.sort.order_by())), False, False)
        cursor, way = None, BEFORE if request.GET.get(BEFORE) else AFTER
        text = request.GET.get(way, "")
        if text and text != END:
            cursor, found = Cursor.parse(text, self.sort)
            self.sort, self.is_resorted = found, found is not self.sort
        # A page in the middle is waited for: in another order it would be another page.
        is_patient = self.result_count <= COUNTED or cursor is not None
        try:
            with at_most(None if is_patient else WALK_MS):
                return self._turn(rows, cursor, way, is_last=text == END)
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
        self.sort, self.is_resorted = self.sort.by_id(), True
        return self._turn(rows, None, way, is_last=text == END)

    def _turn(self, rows: QuerySet, cursor: Cursor | None, way: str, *, is_last: bool) -> Page:
        if way == BEFORE and cursor is not None:
            return read_page_before(rows, self.sort, self.list_per_page, cursor)
        return read_page(rows, self.sort, self.list_per_page, after=cursor, is_last=is_last)

    # --- what the foot of the page links to; each keeps filters and order

    @property
    def first_url(self) -> str:
        return str(self.get_query_string())

    @property
    def last_url(self) -> str:
        return str(self.get_query_string({BEFORE: END}))

    @property
    def next_url(self) -> str:
        return self._url(AFTER, self.page.rows[-1]) if self.page.has_next else ""

    @property
    def previous_url(self) -> str:
        return self._url(BEFORE, self.page.rows[0]) if self.page.has_previous else ""

    def _url(self, name: str, row: Any) -> str:
        return str(self.get_query_string({name: str(Cursor.at(row, self.sort))}))
