"""The page that begins the erasure of a person's data; the job's page counts it and asks again."""

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants import jobs
from tenants.admin.base import actor_of
from tenants.jobs.erasing import draft_erasure
from tenants.models import Job
from tenants.roles import ERASE_PERSON


class ErasureForm(forms.Form):
    address = forms.CharField(
        max_length=400,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "jane.doe@example.com"}),
        help_text="As in mail; upper and lower case are the same.",
    )
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Who asked for it and when. It stays, so do not write the address here.",
    )

    def clean(self) -> dict[str, str]:
        values: dict[str, str] = super().clean() or {}
        address, reason = values.get("address", ""), values.get("reason", "")
        if address and address.strip().lower() in reason.lower():
            raise ValidationError({"reason": "Leave the address out: the reason stays."})
        return values


def erasure_view(request: HttpRequest) -> HttpResponse:
    """Wrapped by the admin site, which asks for staff with a second factor."""
    if not request.user.has_perm(ERASE_PERSON):
        raise PermissionDenied
    form = ErasureForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and (job := _checked(request, form)):
        return redirect(job.get_absolute_url())
    context = {
        **admin.site.each_context(request),
        "title": "Erase a person's data",
        "subtitle": None,
        "form": form,
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/panel/erasure.html", context)


def _checked(request: HttpRequest, form: ErasureForm) -> Job | None:
    """The job, on its way to be counted; None where the form says what is in the way."""
    values = form.cleaned_data
    try:
        job = draft_erasure(values["address"], actor=actor_of(request), reason=values["reason"])
    except ValidationError as error:
        form.add_error(None, error)
        return None
    return jobs.check(job)
