"""What every page of the admin shares: attribution, the write path, history, capped counts.

No page calls save() or delete() on a row of the control plane: all of it goes through
tenants.changes, in one transaction with one reason.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, models
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.forms import BaseInlineFormSet, ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timezone import localtime
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from gateway.routing.address import begin_key, fold
from tenants import changes, history, needing, reverting
from tenants.admin import attribution
from tenants.admin.bulk import delete_rows
from tenants.admin.forms import InlineForm, PanelForm, RefusedError, field_for
from tenants.admin.paging import CappedPaginator, KeysetChangeList
from tenants.admin.saved_views import SavedViewsMixin
from tenants.counting import print_capped
from tenants.querysets import begins
from tenants.stamps import last_changes

actor_of, reason_of = attribution.actor_of, attribution.reason_of
OUTSIDE = "behind the panel’s back"
AT_ONCE = "Somebody else saved the same thing at this moment; look at it and try again."


class RowAdmin(SavedViewsMixin, ModelAdmin):
    """An admin whose list is quick at any depth, and whose page of one row may show more."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Its saved views are shown above the list."""
        context = {**self.saved_views_context(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    def complete(self, rows: list[Any]) -> None:
        """Add to the rows of a page what their columns show besides the row's own fields."""

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page's own templates show."""
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        more = self.page_context(request, obj) if obj is not None else {}
        return super().render_change_form(request, {**context, **more}, obj=obj, **kwargs)


class AttributedAdmin(RowAdmin):
    """An admin whose every write carries who, through what and why."""

    list_filter_submit = True
    delete_confirmation_template = "admin/panel/delete_confirmation.html"
    delete_selected_confirmation_template = "admin/panel/delete_selected_confirmation.html"
    empty_hint = ""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().changeform_view
        return self._attributed(request, lambda: view(request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().delete_view
        return self._attributed(request, lambda: view(request, *args, **kwargs))

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().changelist_view
        return self._attributed(request, lambda: view(request, *args, **kwargs))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What still needs a row is named as an operator names it, with the way there."""
        if links := links_to_needing(objs):
            return [], {}, set(), links
        return super().get_deleted_objects(objs, request)

    def _attributed(self, request: HttpRequest, view: Callable[[], Any]) -> Any:
        if request.method != "POST":
            return view()
        try:
            with changes.attributed(actor_of(request), reason=reason_of(request)):
                return view()
        except (ProtectedError, RestrictedError) as error:
            messages.error(request, still_needed(error))
            return redirect(request.get_full_path())

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Field by field from the event tables, also for a row that is gone."""
        if not history.is_tracked(self.model):
            return super().history_view(request, object_id, extra_context)
        row = self.get_object(request, object_id)
        if not self.has_view_or_change_permission(request, row):
            raise Http404
        edits = history.read(self.history_sources(object_id))
        if row is None and not edits:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row if row is not None else self.opts.verbose_name}",
            "subtitle": None,
            "edits": edits,
            "is_gone": row is None,
            "object": row,
            "object_id": object_id,
            "opts": self.opts,
            "revertible": self.revertible(request, edits),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/panel/history.html", context)

    def revertible(self, request: HttpRequest, edits: list[history.Edit]) -> set[str]:
        """The keys of those that the user is offered to take back."""
        may = reverting.can_revert(self.model) and self.has_change_permission(request)
        return reverting.revertible(edits) if may else set()

    def history_sources(self, object_id: str) -> list[history.Source]:
        """The events that the history of this row tells of. Raises Http404 for what is no id."""
        try:
            return history.sources_of(self.model, self.opts.pk.to_python(object_id))
        except ValidationError:
            raise Http404 from None


class PanelAdmin(AttributedAdmin):
    """The admin of a control-plane model; `fixed_fields` cannot change once a row is there.

    Each row of its list says who changed it last, and leads to its history.
    """

    form = PanelForm
    warn_unsaved_form = True
    fixed_fields: tuple[str, ...] = ()
    search_fields: tuple[str, ...] = ()
    row_label = "name"  # the column by which a job's page calls a row

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """To delete several rows is a job, as every edit of many rows is."""
        found: dict[str, Any] = super().get_actions(request)
        if found.pop("delete_selected", None) is not None:
            found[delete_rows.__name__] = self.get_action(delete_rows)
        return found

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_revert"
        view = self.admin_site.admin_view(self.revert)
        return [path("<path:object_id>/revert/", view, name=name), *super().get_urls()]

    def revert(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take one edit of the history back."""
        from tenants.admin.reverts import revert_view

        if not reverting.can_revert(self.model):
            raise Http404
        return revert_view(self, request, object_id, self.history_sources(object_id))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """From the beginning of an indexed column, folded as it is stored; of a key as keys are."""
        typed = search_term.strip()
        terms = dict.fromkeys(filter(None, (typed, fold(typed), begin_key(typed))))
        found = models.Q()
        for lookup, term in product(self.search_fields, terms):
            found |= _begins(lookup, term)
        return queryset.filter(found), False

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = super().get_list_display(request)
        return [*columns, "changed"] if history.is_tracked(self.model) else [*columns]

    def complete(self, rows: list[Any]) -> None:
        super().complete(rows)
        if history.is_tracked(self.model):
            found = last_changes(self.model, [row.pk for row in rows])
            for row in rows:
                row.stamp = found.get(row.pk)

    @display(description="changed")
    def changed(self, row: Any) -> str:
        """When and by whom it was changed last, as a link to its history."""
        stamp = getattr(row, "stamp", None)
        if stamp is None:
            return "—"
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_history"
        who = OUTSIDE if stamp.is_outside else f"{stamp.actor} ({stamp.surface})"
        return format_html(
            '<a class="panel-stamp{}" href="{}"><time datetime="{}">{}</time><span>{}</span></a>',
            " panel-stamp-outside" if stamp.is_outside else "",
            reverse(page, args=[row.pk]),
            stamp.at.isoformat(),
            localtime(stamp.at).strftime("%Y-%m-%d %H:%M"),
            who,
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Iterable[str]:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if obj is None else (*fields, *self.fixed_fields)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        may_write = (
            self.has_add_permission(request)
            if obj is None
            else self.has_change_permission(request, obj)
        )
        reason = (("Why", {"fields": ["change_reason"]}),)
        return (*fieldsets, *reason) if may_write else fieldsets

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[ModelForm]:
        form = super().get_form(request, *args, **kwargs)
        form.refused = getattr(request, "refused", None)
        return form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = field_for(db_field) or super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, models.TextField):
            field.widget.attrs["rows"] = 3
        return field

    def writable(self, request: HttpRequest, pk: Any) -> Any:
        """The row, for a page of its own that changes it. Raises Http404 or PermissionDenied."""
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        return row

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """What the write path refuses comes back as the same form with the error at its field."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except RefusedError as refused:
            request.refused = refused  # type: ignore[attr-defined]
            return super().changeform_view(request, *args, **kwargs)

    def deletion_warning(self, row: Any) -> str:
        """What is said before a row is deleted, besides what goes with it."""
        return ""

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """What its rules keep is not asked about: its page says why, and what to do instead."""
        row = self.get_object(request, object_id)
        try:
            if row is not None and self.has_delete_permission(request, row):
                row.check_deletion()
                kwargs["extra_context"] = {"deletion_warning": self.deletion_warning(row)}
            return super().delete_view(request, object_id, *args, **kwargs)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        with refusals_at(form.prefix):
            changes.save(obj, actor=actor_of(request), reason=reason_of(request))

    def save_formset(
        self, request: HttpRequest, form: Any, formset: BaseInlineFormSet, change: Any
    ) -> None:
        formset.save(commit=False)
        for row in formset.deleted_objects:
            with refusals_at(form.prefix):
                changes.delete(row, actor=actor_of(request), reason=reason_of(request))
        changed = {id(row) for row, _ in formset.changed_objects}
        changed |= {id(row) for row in formset.new_objects}
        for row_form in formset.forms:
            if id(row_form.instance) in changed:
                with refusals_at(row_form.prefix):
                    changes.save(
                        row_form.instance, actor=actor_of(request), reason=reason_of(request)
                    )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        changes.delete(obj, actor=actor_of(request), reason=reason_of(request))

    # The triggers keep the history; a second log would only disagree with it.
    def log_addition(self, *args: Any) -> None: ...

    def log_change(self, *args: Any) -> None: ...

    def log_deletions(self, *args: Any) -> None: ...


@contextmanager
def refusals_at(prefix: str | None) -> Iterator[None]:
    """What the write path refuses inside becomes an error of the form with this prefix."""
    try:
        yield
    except ValidationError as error:
        raise RefusedError(prefix, error) from error
    except IntegrityError as error:
        raise RefusedError(prefix, ValidationError(AT_ONCE)) from error


class PanelInline(TabularInline):
    """Rows that are edited with their parent, under the same rules and in the same change."""

    form = InlineForm
    extra = 0

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.refused = getattr(request, "refused", None)
        return formset


class ReadOnlyAdmin(RowAdmin):
    """A list and a page of rows that only the data plane writes."""

    list_filter_submit = True
    actions: Any = None
    show_add_link = False
    empty_hint = ""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Events have no history of their own: they are it."""
        context = {"show_history": False, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def still_needed(error: ProtectedError | RestrictedError) -> str:
    """Why a row cannot go, naming what needs it."""
    return f"Not deleted, it is still needed by: {needing.print_names(error)}."


def links_to_needing(objs: Any) -> list[str]:
    """The rows that keep these from being deleted, each a link to where it is edited."""
    found = needing.find(objs) if objs else needing.Needing()
    links: list[str] = [
        format_html('{} <a href="{}">{}</a>', noun, row.get_absolute_url(), name)
        for row in sorted(found.rows, key=needing.name)
        for noun, name in [needing.name(row)]
    ]
    return [*links, f"and {print_capped(found.more)} more"] if found.more else links


def _begins(lookup: str, term: str) -> models.Q:
    """What a search field asks; of a beginning with its case, what an index answers."""
    path = lookup.removesuffix("__startswith")
    return models.Q(**{lookup: term}) if path == lookup else begins(models.F(path), term)
