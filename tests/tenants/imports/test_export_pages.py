"""Lists as files: what the list shows, for who may take it out, noted each time."""

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.test import Client

from tenants.models import Alias, Domain, Export, Mailbox, NextHop, RoleAddress, Tenant
from tenants.roles import Role
from tests import world as make
from tests.pages import url_of
from tests.staff import client_of, make_member_of_staff, make_staff
from tests.world import World

MODELS = (Alias, RoleAddress, Domain, Mailbox, NextHop, Tenant)


def text_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def export_url(model: type[Any], query: str = "") -> str:
    return url_of(model, "export") + query


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_offers_its_export(client: Client, world: World, model: type[Any]) -> None:
    box = make.make_mailbox(world.a)
    make.make_alias(world.domain, "x", make.to_mailbox(box))
    make.make_role(world.domain, "sales", holder=box)

    page = client.get(url_of(model, "changelist")).content.decode()
    response = client.post(export_url(model), {"written": "csv"})

    assert "Export this list as" in page
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert 'attachment; filename="' in response["Content-Disposition"]
    assert len(text_of(response).splitlines()) == model.objects.count() + 1


def test_an_export_is_of_what_the_filter_leaves(client: Client, world: World) -> None:
    make.make_alias(world.domain, "one")
    make.make_alias(world.other_domain, "two")
    query = f"?domain__id__exact={world.domain.pk}"

    lines = text_of(client.post(export_url(Alias, query), {"written": "csv"})).splitlines()

    assert [line.split(",")[:3] for line in lines[1:]] == [["alias", "a", "one@a.example"]]
    note = Export.objects.get()
    assert (note.what, note.rows) == (f"aliases: domain: {world.domain}", 1)
    assert (note.actor_name, note.surface, note.client) == ("ops", "admin", "127.0.0.1")


@pytest.mark.parametrize("query", ["?domain__id__exact=many", "?nothing=1", "?owner__id=x"])
def test_an_export_of_a_filter_that_says_nothing_goes_back_to_the_list(
    client: Client, world: World, query: str
) -> None:
    make.make_alias(world.domain, "one")
    answer = client.post(export_url(Alias, query), {"written": "csv"}, follow=True)
    assert answer.redirect_chain == [(url_of(Alias, "changelist"), 302)]
    assert "Nothing was exported" in answer.content.decode()
    assert not Export.objects.exists()


@pytest.mark.parametrize(
    ("model", "query", "told"),
    [
        (Alias, "", "aliases: all"),
        (Alias, "?o=-1&q=sal", "aliases: begins with “sal”"),
        (Alias, "?state=enabled&expiry=week", "aliases: state: Enabled, expiry: Within 7 days"),
        (
            Alias,
            "?concern=broken&used=idle",
            "aliases: last mail: Unused for 90 days, needs a look",
        ),
        (Domain, "?state__exact=degraded", "domains: state: degraded"),
        (NextHop, "?calls_ahead__exact=1", "next hops: asked about each recipient: yes"),
    ],
)
def test_what_was_exported_is_noted_in_words(
    client: Client, world: World, model: type[Any], query: str, told: str
) -> None:
    text_of(client.post(export_url(model, query), {"written": "csv"}))
    assert Export.objects.get().what.startswith(told)


def test_chosen_rows_are_exported_by_an_action(client: Client, world: World) -> None:
    chosen = make.make_alias(world.domain, "one")
    make.make_alias(world.domain, "two")
    data = {"action": "export_json", ACTION_CHECKBOX_NAME: [chosen.pk]}

    text = text_of(client.post(url_of(Alias, "changelist"), data))

    assert '"one@a.example"' in text
    assert '"two@a.example"' not in text


def test_an_auditor_takes_out_what_they_may_see(world: World) -> None:
    make.make_alias(world.domain, "one")
    client = client_of(make_member_of_staff(Role.AUDITOR))

    assert "one@a.example" in text_of(client.post(export_url(Alias), {"written": "json"}))
    assert Export.objects.get().actor_name == "auditors"


def test_who_may_not_export_is_offered_nothing(world: World) -> None:
    from django.contrib.auth.models import Permission

    clerk: User = make_staff("clerk", is_superuser=False)
    clerk.user_permissions.add(Permission.objects.get(codename="view_alias"))
    make.make_alias(world.domain, "one")
    client = client_of(clerk)

    page = client.get(url_of(Alias, "changelist")).content.decode()

    assert "one@a.example" in page
    assert "Export" not in page
    assert client.post(export_url(Alias), {"written": "csv"}).status_code == 403
    data = {"action": "export_csv", ACTION_CHECKBOX_NAME: [Alias.objects.get().pk]}
    assert not hasattr(client.post(url_of(Alias, "changelist"), data), "streaming_content")
    assert not Export.objects.exists()


def test_a_format_that_a_list_has_not_is_refused(client: Client, world: World) -> None:
    assert client.post(export_url(Mailbox), {"written": "virtual"}).status_code == 400
    assert client.get(export_url(Mailbox)).status_code == 302
