"""Reads and fills the admin's own forms, as a browser would."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.contrib import admin
from django.db.models import Model
from django.forms import BaseForm, SplitDateTimeField
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import reverse


@contextmanager
def blank() -> Iterator[None]:
    """Pages are left blank, for tests that ask what a view does: that is four times as fast.

    All of the view runs but its template; other tests draw each page.
    """
    with patch.object(SimpleTemplateResponse, "rendered_content", ""):
        yield


def url_of(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def registered() -> Iterable[type[Model]]:
    """Every model that has pages in the admin."""
    admin.autodiscover()
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def form_of(response: HttpResponse) -> Any:
    return response.context_data["adminform"].form  # type: ignore[attr-defined]


def formset_of(response: HttpResponse, prefix: str) -> Any:
    inlines = response.context_data["inline_admin_formsets"]  # type: ignore[attr-defined]
    return next(inline.formset for inline in inlines if inline.formset.prefix == prefix)


def data_of(response: HttpResponse) -> dict[str, str]:
    """What the form would send if nothing were changed."""
    data = _values(form_of(response))
    for inline in response.context_data["inline_admin_formsets"]:  # type: ignore[attr-defined]
        data |= _values(inline.formset.management_form)
        for form in inline.formset.forms:
            data |= _values(form)
    return data


def typed(values: dict[str, Any]) -> dict[str, str]:
    """Python values as they are typed: rows by key, lists one a line, True as a ticked box."""
    return {name: _text(value) for name, value in values.items() if value is not False}


def _values(form: BaseForm) -> dict[str, str]:
    data = {}
    for bound in form:
        value = bound.value()
        if isinstance(bound.field, SplitDateTimeField):
            date, time = (value.date(), value.time()) if value else ("", "")
            data |= {f"{bound.html_name}_0": str(date), f"{bound.html_name}_1": str(time)}
        elif value is not False:
            data[bound.html_name] = _text(value)
    return data | _shown(form, data)


def _shown(form: BaseForm, data: dict[str, str]) -> dict[str, str]:
    """What the page keeps hidden of what it showed, where it does."""
    shown = {}
    for bound in (bound for bound in form if bound.field.show_hidden_initial):
        place, name = bound.html_initial_name, bound.html_name
        split = [f"_{part}" for part in range(2) if f"{name}_{part}" in data]
        shown |= {f"{place}{end}": data.get(f"{name}{end}", "False") for end in split or [""]}
    return shown


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Model):
        return str(value.pk)
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return "on" if value is True else str(value)
