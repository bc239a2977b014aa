"""What a list is narrowed to, in words that mean the same when its rows are gone."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import BooleanField

TRUTHS = {"1": "yes", "0": "no"}


def tell(listed: ChangeList) -> str:
    """As in "domain a.example, state Enabled, begins with “sales”"; "all" where nothing is."""
    return ", ".join(_parts(listed)) or "all"


def _parts(listed: ChangeList) -> Iterator[str]:
    for each in listed.filter_specs:
        if value := each.value():  # type: ignore[attr-defined]
            yield f"{each.title} {_word(each, str(value))}"
    if listed.query:
        yield f"begins with “{listed.query}”"


def _word(narrowing: Any, value: str) -> str:
    """What an operator calls the value of a filter; itself where it stands for nothing."""
    words: Mapping[Any, Any]
    if isinstance(narrowing, SimpleListFilter):
        words = dict(narrowing.lookup_choices)
    elif related := narrowing.field.related_model:
        words = {value: related._base_manager.filter(pk=value).first() or value}
    elif isinstance(narrowing.field, BooleanField):
        words = TRUTHS
    else:
        words = dict(narrowing.field.flatchoices)
    return str(words.get(value, value))
