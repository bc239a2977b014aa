"""Saved views above a list: save what is shown now, open, rename, share, delete.

A view belongs to its author: others open it where it is shared, and change nothing about it.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from tenants import changes
from tenants.admin.attribution import actor_of
from tenants.admin.narrowing import tell, tell_order
from tenants.admin.paging import KeysetChangeList
from tenants.models import SavedView
from tenants.models.saved_view import normalise_query

TYPED = "typed_view"
NAME_KEPT = 200  # characters


@dataclass(frozen=True, slots=True)
class Tab:
    """A view as it stands above its list."""

    name: str
    url: str
    is_open: bool
    author: str  # empty for one's own


class Narrowed(KeysetChangeList):
    """A list that is only asked what it shows: its rows are not read."""

    def get_results(self, request: HttpRequest) -> None:
        self.result_list = []


class SavedViewsMixin:
    """The views of a list, for an admin."""

    opts: Any
    admin_site: Any
    has_view_permission: Any
    list_before_template = "admin/panel/saved_views.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path("views/", wrap(self.views_page), name=f"{name}_views"),
            path("views/save/", wrap(require_POST(self.save_view)), name=f"{name}_view_save"),
            path("views/<int:pk>/", wrap(require_POST(self.edit_view)), name=f"{name}_view_edit"),
            path(
                "views/<int:pk>/delete/",
                wrap(require_POST(self.delete_view_of_list)),
                name=f"{name}_view_delete",
            ),
        ]
        rest: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return own + rest

    @property
    def listed(self) -> str:
        return str(self.opts.label_lower)

    def saved_views_context(self, request: HttpRequest) -> dict[str, Any]:
        """What the list shows of its views. One query."""
        query = normalise_query(request.META.get("QUERY_STRING", ""))
        views = SavedView.objects.visible_to(request.user).of_list(self.listed)
        return {
            "saved_views": tabs(views.select_related("author"), request.user.pk, query),
            "view_query": query,
            "views_url": self._url("views"),
            "view_save_url": self._url("view_save"),
            "typed_view": _take_typed(request, self.listed),
        }

    def save_view(self, request: HttpRequest) -> HttpResponse:
        """Keep the filters and order that the form carries, under a name."""
        self._require_view(request)
        view = SavedView(
            author_id=int(request.user.pk or 0),
            listed=self.listed,
            name=request.POST.get("name", ""),
            query=request.POST.get("query", ""),
            is_shared="is_shared" in request.POST,
        )
        if self._save(request, view):
            messages.success(request, f"The view “{view.name}” is saved.")
            return redirect(view)
        _keep_typed(request, view)
        return redirect(f"{self._url('changelist')}?{normalise_query(view.query)}")

    def views_page(self, request: HttpRequest, typed: SavedView | None = None) -> HttpResponse:
        """All views of the list: one's own can be renamed, shared and deleted here.

        One that was refused stands there as it was `typed`.
        """
        self._require_view(request)
        views = SavedView.objects.visible_to(request.user).of_list(self.listed)
        shown = [typed if view == typed else view for view in views.select_related("author")]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Views of {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "views": [(view, self._told(request, view)) for view in shown],
            "list_url": self._url("changelist"),
            "edit_name": f"admin:{self._name('view_edit')}",
            "delete_name": f"admin:{self._name('view_delete')}",
        }
        return TemplateResponse(request, "admin/panel/saved_views_page.html", context)

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        view = self._own(request, pk)
        view.name = request.POST.get("name", "")
        view.is_shared = "is_shared" in request.POST
        if not self._save(request, view):
            return self.views_page(request, typed=view)
        messages.success(request, f"The view “{view.name}” is changed.")
        return redirect(self._url("views"))

    def delete_view_of_list(self, request: HttpRequest, pk: int) -> HttpResponse:
        view = self._own(request, pk)
        changes.delete(view, actor=actor_of(request))
        messages.success(request, f"The view “{view.name}” is deleted.")
        return redirect(self._url("views"))

    def _told(self, request: HttpRequest, view: SavedView) -> str:
        """What a view shows, in words; its query where its list knows no such filter any more."""
        asked = copy(request)
        asked.GET = QueryDict(view.query)
        try:
            listed = self._narrowed(asked)
        except (IncorrectLookupParameters, DisallowedModelAdminLookup):
            return f"no longer understood: {view.query}"
        parts = [tell(listed), tell_order(listed)]
        return "; ".join(filter(None, parts))

    def _narrowed(self, request: HttpRequest) -> Narrowed:
        """The list as this request narrows and sorts it."""
        admin: Any = self
        display = admin.get_list_display(request)
        if admin.get_actions(request):  # of which orders count, too
            display = ["action_checkbox", *display]
        return Narrowed(
            request,
            admin.model,
            display,
            admin.get_list_display_links(request, display),
            admin.get_list_filter(request),
            admin.date_hierarchy,
            admin.get_search_fields(request),
            admin.get_list_select_related(request),
            admin.list_per_page,
            admin.list_max_show_all,
            admin.list_editable,
            admin,
            admin.get_sortable_by(request),
            admin.search_help_text,
        )

    def _save(self, request: HttpRequest, view: SavedView) -> bool:
        try:
            changes.save(view, actor=actor_of(request))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return False
        return True

    def _own(self, request: HttpRequest, pk: int) -> SavedView:
        """The view, where it is the user's own. Raises Http404, PermissionDenied for another's."""
        self._require_view(request)
        views = SavedView.objects.visible_to(request.user).of_list(self.listed)
        view = views.filter(pk=pk).first()
        if view is None:
            raise Http404
        if view.author_id != request.user.pk:
            raise PermissionDenied
        return view

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _url(self, page: str) -> str:
        return reverse(f"admin:{self._name(page)}")


def tabs(views: Iterable[SavedView], user_id: Any, query: str) -> list[Tab]:
    """The views in order, that of the query marked as open."""
    return [
        Tab(
            view.name,
            view.get_absolute_url(),
            view.query == query,
            "" if view.author_id == user_id else view.author.get_username(),
        )
        for view in views
    ]


def _keep_typed(request: HttpRequest, view: SavedView) -> None:
    """What was typed and refused, for the list that comes next."""
    typed = {"listed": view.listed, "name": view.name[:NAME_KEPT], "is_shared": view.is_shared}
    request.session[TYPED] = typed


def _take_typed(request: HttpRequest, listed: str) -> dict[str, Any]:
    """What was refused of this list just now; empty where nothing was."""
    typed: dict[str, Any] = request.session.pop(TYPED, {})
    return typed if typed.get("listed") == listed else {}
