"""SavedView: the filters and order of a list, kept under a name."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.http import QueryDict
from django.urls import NoReverseMatch, reverse

from tenants.models.fields import Ruled
from tenants.models.history import tracked
from tenants.querysets import SavedViewQuerySet

# Where a page ends is no part of a view: the list changes under it.
PASSING = ("after", "before", "p", "e", "all", "_popup", "_to_field")


@tracked
class SavedView(Ruled):
    """A list as somebody wants to find it again: its filters and order, under a name.

    Its author alone changes or deletes it; a shared one is shown to all staff.
    """

    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", editable=False
    )
    listed = models.CharField(
        "list", max_length=100, editable=False, help_text="As in tenants.alias."
    )
    name = models.CharField(max_length=60)
    query = models.CharField("filters and order", max_length=2000, blank=True, editable=False)
    is_shared = models.BooleanField("shared with all staff", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["author", "listed", "name"],
                name="saved_view_named_once",
                violation_error_code="name",
                violation_error_message="You have a view of this name for the list already.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The list, as the view shows it."""
        name = self.listed.replace(".", "_")
        return f"{reverse(f'admin:{name}_changelist')}?{self.query}"

    def clean(self) -> None:
        super().clean()
        self.name = self.name.strip()
        if not self.name:
            raise ValidationError({"name": "Give the view a name."})
        try:
            self.get_absolute_url()
        except NoReverseMatch:
            raise ValidationError({"listed": "There is no such list."}) from None
        self.query = normalise_query(self.query)


def normalise_query(text: str) -> str:
    """What a view keeps of a list's address, in an order of its own, so that equal ones are equal.

    Empty choices and the place in the list are left out.
    """
    given: Any = QueryDict(text.lstrip("?"))
    kept = sorted(
        (name, value)
        for name, values in given.lists()
        for value in values
        if value and name not in PASSING
    )
    query = QueryDict(mutable=True)
    for name, value in kept:
        query.appendlist(name, value)
    return query.urlencode()
