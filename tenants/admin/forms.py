"""Forms of the admin: a rule that refuses a row becomes an error at the field it is about.

No rule stands here. Fields translate between what is typed ("25 MB", one sender a line) and
what is stored. A page brings along what it showed: a page that was open for an hour gives back
nothing that somebody else changed meanwhile.
"""

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from unfold.widgets import (
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tenants import meanwhile
from tenants.octets import parse_octets, print_octets


class RefusedError(Exception):
    """A change that was refused after its form had passed: the form's prefix, and why."""

    def __init__(self, prefix: str | None, error: ValidationError) -> None:
        super().__init__(prefix, error)
        self.prefix = prefix
        self.error = error


class RowForm(forms.ModelForm):
    """A form of one row. `refused` is what the write path said when it was tried before."""

    refused: RefusedError | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = set() if self.instance._state.adding else set(self.instance.as_read)
        for name, field in self.fields.items():
            column: Any = self._columns.get(name)
            field.show_hidden_initial = column in stored and self._brings(name)

    def add_error(self, field: str | None, error: Any) -> None:
        """Show an error at the field it is about, or on top if this form leaves that field out."""
        raised = error if isinstance(error, ValidationError) else ValidationError(error)
        if field is not None:
            super().add_error(field, raised)
            return
        if not hasattr(raised, "error_dict"):
            super().add_error(None, raised)
            return
        for name, sentences in raised.error_dict.items():
            if name in self.errors and name != NON_FIELD_ERRORS:
                continue  # what is typed there was not even taken, so the rule saw something else
            if name in self.fields or name == NON_FIELD_ERRORS:
                super().add_error(None if name == NON_FIELD_ERRORS else name, sentences)
            else:
                label = _label(self._meta.model, name)
                super().add_error(None, [f"{label}: {text}" for text in _texts(sentences)])

    @property
    def _columns(self) -> dict[str, str]:
        return {each.name: each.attname for each in self._meta.model._meta.concrete_fields}

    def _brings(self, name: str) -> bool:
        """Whether the page that was sent says what it showed; one that is not sent yet will."""
        hidden: Any = self.fields[name].hidden_widget()
        place = self.add_initial_prefix(name)
        return not (self.is_bound and hidden.value_omitted_from_data(self.data, self.files, place))

    def _keep_what_others_changed(self) -> None:
        """Since the page was opened: it stands where it was not touched here, and else is told."""
        for name in [name for name, field in self.fields.items() if field.show_hidden_initial]:
            is_moved = self._is_moved(name)
            if name not in self.changed_data:
                self._leave(name, is_moved=is_moved)
            elif is_moved:
                self.add_error(name, meanwhile.moved(self.instance, name))

    def _leave(self, name: str, *, is_moved: bool) -> None:
        """Take the row's own value, which pages show less exactly; a relation only if it moved."""
        if is_moved:
            self.errors.pop(name, None)
        if is_moved or not isinstance(self.fields[name], forms.ModelChoiceField):
            self.cleaned_data[name] = getattr(self.instance, name)

    def _is_moved(self, name: str) -> bool:
        """Whether the row holds something else by now than the page showed."""
        bound: Any = self[name]
        hidden = bound.field.hidden_widget()
        seen = hidden.value_from_datadict(self.data, self.files, bound.html_initial_name)
        return bool(bound.field.has_changed(_as_sent(bound.initial), _as_sent(seen)))

    def _post_clean(self) -> None:
        self._keep_what_others_changed()
        super()._post_clean()  # type: ignore[misc]
        if self.refused is not None and self.refused.prefix == self.prefix:
            self.add_error(None, self.refused.error)

    def _get_validation_exclusions(self) -> set[str]:
        """Like Django's, but the key is checked: it is made of what the form holds."""
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return exclusions - {"key"}


class InlineForm(RowForm):
    """A form of one row of a table: its fields bear the names that the columns show."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = str(field.label)


class PanelForm(RowForm):
    """A form of one object, with the reason that stands in its history."""

    change_reason = forms.CharField(
        label="Reason for this change",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Optional; stands in the history beside the change.",
    )


def _as_sent(value: Any) -> Any:
    """Browsers end lines in their own way, and fields drop blanks around a text."""
    return "\n".join(value.splitlines()).strip() if isinstance(value, str) else value


def _label(model: type[models.Model], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return str(field.verbose_name).capitalize()


def _texts(errors: list[ValidationError]) -> list[str]:
    return [text for error in errors for text in error.messages]


class LinesField(forms.Field):
    """A list of texts, typed one a line."""

    widget = UnfoldAdminTextareaWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.widget.attrs["rows"] = 3

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        lines = _lines(value)
        if any("\x00" in line for line in lines):
            raise ValidationError("Take out the null character.")
        return lines

    def has_changed(self, initial: Any, data: Any) -> bool:
        return _lines(initial) != _lines(data)


def _lines(value: Any) -> list[str]:
    text = value if isinstance(value, str) else "\n".join(value or ())
    return [line.strip() for line in text.splitlines() if line.strip()]


class OctetsField(forms.Field):
    """A number of octets, typed as 25 MB or in octets."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return print_octets(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, int) or value in self.empty_values:
            return None if value in self.empty_values else value
        try:
            return parse_octets(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True


def field_for(db_field: models.Field) -> forms.Field | None:
    """The form field of this product's own kinds of value; None leaves the choice to Unfold."""
    about: dict[str, Any] = {
        "required": not db_field.blank,
        "label": str(db_field.verbose_name).capitalize(),
        "help_text": db_field.help_text,
    }
    if hasattr(db_field, "base_field"):
        return LinesField(**about | {"help_text": f"{db_field.help_text} One per line."})
    if isinstance(db_field, models.PositiveBigIntegerField) and "octets" in db_field.name:
        label = about["label"].replace(" (octets)", "").replace(" octets", " size")
        return OctetsField(
            **about | {"label": label, "help_text": "For example 25 MB; MB is decimal."}
        )
    return None
