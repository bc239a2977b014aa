"""What a list is narrowed to, in words that mean the same when its rows are gone."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import label_for_field
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import BooleanField

from tenants.models import Domain, Tenant

TENANT, DOMAIN = "tenant__id__exact", "domain__id__exact"
TRUTHS = {"1": "yes", "0": "no"}


def tell(listed: ChangeList) -> str:
    """As in "domain: a.example, state: Enabled, begins with “sales”"; "all" where nothing is."""
    return ", ".join(_parts(listed)) or "all"


def tell_order(listed: ChangeList) -> str:
    """As in "sorted by expires at, the last first"; empty where nobody chose an order."""
    if ORDER_VAR not in listed.params:
        return ""
    columns = [
        f"{_label(listed, number)}{', the last first' if way == 'desc' else ''}"
        for number, way in listed.get_ordering_field_columns().items()
    ]
    return f"sorted by {' and '.join(columns)}" if columns else ""


def _label(listed: ChangeList, number: int) -> str:
    return str(label_for_field(listed.list_display[number], listed.model, listed.model_admin))


def tenant_of(asked: Mapping[str, str]) -> int | None:
    """Whose rows alone a list's address asks for, by its tenant or a domain; None of several."""
    for name, value in asked.items():
        if name.endswith(TENANT) and value.isdecimal():
            return Tenant.objects.filter(pk=value).values_list("pk", flat=True).first()
        if name == DOMAIN and value.isdecimal():
            return Domain.objects.filter(pk=value).values_list("tenant", flat=True).first()
    return None


def _parts(listed: ChangeList) -> Iterator[str]:
    for each in listed.filter_specs:
        if value := each.value():  # type: ignore[attr-defined]
            yield f"{each.title}: {_word(each, str(value))}"
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
