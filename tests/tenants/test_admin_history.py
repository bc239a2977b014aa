"""History: an edit taken back, a deleted row brought back, and all that happened to a tenant."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pgtrigger
import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants import changes, history, timeline
from tenants.models import Address, Alias, Domain, Mailbox, SubaddressRule, Tenant
from tenants.roles import Role
from tenants.timeline import Wanted
from tests import world as make
from tests.pages import url_of
from tests.staff import client_of, make_member_of_staff, make_staff
from tests.tenants.events import last_context
from tests.world import ACTOR, World, as_user, to_inbox, to_mailbox


def edits_of(row: Any, pk: int = 0) -> list[history.Edit]:
    """The edits, that of the row itself which came last first: a test is one moment."""
    edits = history.read(history.sources_of(type(row), pk or row.pk))
    last = last_edit(row)
    return sorted(edits, key=lambda each: each.key != last)


def last_edit(row: Any) -> str:
    """The key of the last edit of the row itself. A test is one moment to the database's clock."""
    return history.key_of(type(row).pgh_event_model.objects.order_by("-pgh_id")[0])


def revert_url(row: Any, edit: history.Edit | str, pk: int = 0) -> str:
    key = edit if isinstance(edit, str) else edit.key
    return f"{url_of(type(row), 'revert', pk or row.pk)}?edit={quote(key)}"


def by_hand(alias: Alias) -> None:
    """Change a row in the database itself."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_id', '', true)")
        cursor.execute("UPDATE tenants_address SET purpose = 'raw' WHERE id = %s", [alias.pk])


def edit(row: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    changes.save(row, actor=ACTOR)


def test_an_edit_is_shown_and_taken_back_as_a_change_of_one_s_own(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x", purpose="orders")
    edit(alias, purpose="nothing", enabled=False)
    url = revert_url(alias, edits_of(alias)[0])

    page = client.get(url).content.decode()
    assert "is changed back" in page
    assert "orders" in page
    client.post(url, {"change_reason": "a mistake"})

    alias.refresh_from_db()
    assert (alias.purpose, alias.enabled) == ("orders", True)
    about = last_context(alias)
    assert (about["actor"], about["reason"]) == ("ops", "a mistake")


def test_looking_at_it_changes_nothing(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    edit(alias, note="n")
    client.get(revert_url(alias, edits_of(alias)[0]))
    alias.refresh_from_db()
    assert alias.note == "n"
    assert len(edits_of(alias)) == 2


def test_looking_at_it_only_reads_and_holds_no_lock(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x", to_mailbox(make.make_mailbox(world.a)))
    pk = alias.pk
    edit(alias, note="n")
    changed = last_edit(alias)
    urls = [revert_url(alias, changed), revert_url(alias, edits_of(alias)[-1])]
    changes.delete(alias, actor=ACTOR)
    urls.append(revert_url(alias, last_edit(alias), pk))

    for url in urls:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(url).status_code == 200
        said = " ".join(query["sql"] for query in asked)
        assert not re.search(r"advisory|FOR (NO KEY )?(UPDATE|SHARE)|INSERT|DELETE|\bSET\b", said)


@pytest.mark.parametrize("is_sent", [False, True])
def test_what_cannot_be_taken_back_is_told_before_it_is_asked_for(
    client: Client, world: World, *, is_sent: bool
) -> None:
    def told(row: Any, edit: str) -> str:
        act = client.post if is_sent else client.get
        return str(act(revert_url(row, edit)).content.decode())

    box = make.make_mailbox(world.a)
    made = last_edit(box)
    alias = make.make_alias(world.domain, "x", to_mailbox(box))
    edit(alias, purpose="one")
    first = last_edit(alias)
    edit(alias, purpose="two")
    assert "it is still needed by: target" in told(box, made)
    assert "was edited since" in told(alias, first)
    edit(alias, local_part="y")
    renamed = last_edit(alias)
    make.make_alias(world.domain, "x")
    assert "This address exists already on the domain." in told(alias, renamed)


def test_what_was_edited_since_in_other_fields_stays(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x", purpose="orders")
    edit(alias, purpose="nothing")
    first = edits_of(alias)[0]
    edit(alias, note="later")

    client.post(revert_url(alias, first))

    alias.refresh_from_db()
    assert (alias.purpose, alias.note) == ("orders", "later")


def test_what_was_edited_since_in_the_same_field_is_not_overwritten(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x", purpose="orders")
    edit(alias, purpose="nothing")
    first = edits_of(alias)[0]
    alias.purpose = "sales"
    changes.save(alias, actor=as_user(world.owner))

    page = client.post(revert_url(alias, first)).content.decode()

    assert "alias x@a.example was edited since, by ann at" in page
    alias.refresh_from_db()
    assert alias.purpose == "sales"


def test_a_rule_that_forbids_it_is_told_in_its_sentence(client: Client, world: World) -> None:
    box, other = make.make_mailbox(world.a), make.make_mailbox(world.a)
    alias = make.make_alias(world.domain, "x", to_mailbox(box))
    target = alias.targets.get()
    edit(target, mailbox=other)
    second = last_edit(target)
    changes.delete(box, actor=ACTOR)

    page = client.post(revert_url(alias, second)).content.decode()

    assert "cannot be taken back" in page
    assert "The mailbox it had has been deleted." in page
    target.refresh_from_db()
    assert target.mailbox == other


def test_a_deleted_address_comes_back_with_what_belonged_to_it(
    client: Client, world: World
) -> None:
    box = make.make_mailbox(world.a)
    alias = make.make_alias(world.domain, "x", to_mailbox(box), to_inbox(), note="n")
    make.make_rule(alias, "spam", SubaddressRule.Action.RETARGET, to_inbox())
    pk = alias.pk
    changes.delete(alias, actor=ACTOR)

    page = client.get(url_of(Alias, "history", pk)).content.decode()
    assert "Take it back" in page
    client.post(revert_url(alias, edits_of(alias, pk)[0], pk))

    back = Alias.objects.get(pk=pk)
    assert (back.key, back.note) == ("x@a.example", "n")
    assert [str(target) for target in back.targets.all()] == [f"mailbox {box}", "stored inbox"]
    assert back.rules.get().targets.count() == 1


def test_a_claim_that_was_verified_since_is_not_taken_back(client: Client, world: World) -> None:
    claimed = edits_of(world.domain)[0]
    page = client.get(revert_url(world.domain, claimed)).content.decode()
    assert "a.example has been verified: release it first." in page


def test_that_a_claim_was_verified_is_not_taken_back(client: Client, world: World) -> None:
    claim = make.make_domain(world.a, "new.example", state="pending")
    edit(claim, state="active")
    url = revert_url(claim, last_edit(claim))
    for page in (client.get(url), client.post(url)):
        assert "was verified: release it instead" in page.content.decode()
    claim.refresh_from_db()
    assert claim.is_receiving


def test_what_was_created_is_deleted_unless_it_is_needed(client: Client, world: World) -> None:
    box = make.make_mailbox(world.a)
    created = edits_of(box)[0]
    make.make_alias(world.domain, "x", to_mailbox(box))
    page = client.post(revert_url(box, created)).content.decode()
    assert "it is still needed by: target" in page
    changes.delete(Alias.objects.get(), actor=ACTOR)
    client.post(revert_url(box, created))
    assert not Mailbox.objects.filter(pk=box.pk).exists()


def test_a_change_behind_the_panels_back_is_taken_back_too(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x", purpose="orders")
    by_hand(alias)
    [outside] = [each for each in edits_of(alias) if each.is_outside]

    client.post(revert_url(alias, outside))

    alias.refresh_from_db()
    assert alias.purpose == "orders"


@pytest.mark.parametrize(
    "key", ["", "nonsense", "00000000-0000-0000-0000-000000000000"], ids=["none", "text", "other"]
)
def test_what_names_no_edit_is_not_taken_back(client: Client, world: World, key: str) -> None:
    alias = make.make_alias(world.domain, "x")
    response = client.post(f"{url_of(Alias, 'revert', alias.pk)}?edit={key}")
    assert response.status_code == 404 or "names no edit" in response.content.decode()
    assert Alias.objects.filter(pk=alias.pk).exists()


def test_an_auditor_sees_the_history_and_takes_nothing_back(world: World, client: Client) -> None:
    alias = make.make_alias(world.domain, "x")
    edit(alias, note="n")
    auditor = client_of(make_member_of_staff(Role.AUDITOR))
    page = auditor.get(url_of(Alias, "history", alias.pk)).content.decode()
    assert "Take it back" not in page
    assert auditor.post(revert_url(alias, edits_of(alias)[0])).status_code == 403
    alias.refresh_from_db()
    assert alias.note == "n"


# --- everything of a tenant


def test_a_tenant_s_history_tells_of_all_that_is_its_own(client: Client, world: World) -> None:
    box = make.make_mailbox(world.a)
    alias = make.make_alias(world.domain, "mine", to_mailbox(box))
    make.make_rule(alias, "spam", SubaddressRule.Action.RETARGET, to_inbox())
    make.make_alias(world.other_domain, "theirs")
    changes.delete(alias, actor=ACTOR)

    page = client.get(url_of(Tenant, "history", world.a.pk)).content.decode()

    for told in ("alias mine@a.example deleted", "domain a.example created", "detail spam"):
        assert told.replace("detail", "subaddress rule") in page, told
    assert "b.example" not in page


def test_a_tenant_s_history_tells_nobody_more_than_its_pages_would(world: World) -> None:
    alias = make.make_alias(world.domain, "mine", to_inbox())
    make.make_role(world.domain, "sales")
    make.make_rule(alias, "spam", SubaddressRule.Action.REFUSE)
    clerk = make_staff("clerk", is_superuser=False)

    def told(*models: str, **wanted: str) -> set[str]:
        names = [f"view_{model}" for model in models]
        clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
        user = User.objects.get(pk=clerk.pk)
        edits = timeline.read(world.a.pk, Wanted(**wanted), user=user).edits
        return {row.subject.rpartition(" ")[0] for edit in edits for row in edit.rows}

    assert told("tenant", "alias", "target") == {"tenant", "alias", "target"}
    assert told("roleaddress", "subaddressrule") == {"role address", "subaddress rule"}
    assert told("tenant", model="target") == set()
    signed_in = client_of(clerk)
    for page in ("history", "change"):
        shown = signed_in.get(url_of(Tenant, page, world.a.pk)).content.decode()
        assert "tenant A created" in shown
        assert "mine@a.example" not in shown


def test_filters_narrow_a_tenant_s_history(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    alias.note = "n"
    changes.save(alias, actor=as_user(world.owner, "portal"))
    by_hand(alias)

    def told(**wanted: str) -> list[tuple[str, str]]:
        page = timeline.read(world.a.pk, Wanted(**wanted))
        return [(edit.actor, row.subject) for edit in page.edits for row in edit.rows]

    assert told(actor="ann") == [("ann", "alias x@a.example")]
    assert told(surface="portal") == [("ann", "alias x@a.example")]
    assert told(surface="outside") == [("outside the panel", "alias x@a.example")]
    assert {subject for _, subject in told(model="domain")} == {"domain a.example"}
    url = url_of(Tenant, "history", world.a.pk)
    early = client.get(url, {"until": "2001-01-01"}).content.decode()
    assert "x@a.example" not in early
    assert "Take a filter off" in client.get(url, {"actor": "nobody"}).content.decode()
    assert "x@a.example" in client.get(url, {"until": "9999-12-31"}).content.decode()


@pytest.mark.parametrize("model", [Alias, Domain, Tenant])
@pytest.mark.parametrize("page", ["history", "revert"])
def test_what_is_no_id_has_no_history(client: Client, model: type[Any], page: str) -> None:
    assert client.get(url_of(model, page, "abc"), {"edit": "x"}).status_code == 404
    assert client.get(url_of(model, page, "9" * 30), {"edit": "x"}).status_code < 500


def test_a_tenant_s_history_is_read_page_by_page_without_a_gap(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "EVENTS_A_PAGE", 3)
    for number in range(4):
        make.make_alias(world.domain, f"a{number}")
    seen: list[str] = []
    place = None
    for _ in range(20):
        page = timeline.read(world.a.pk, Wanted(), place)
        seen += [f"{row.subject} {row.verb}" for edit in page.edits for row in edit.rows]
        place = page.next
        if place is None:
            break
    assert place is None
    assert len([each for each in seen if each.startswith("alias")]) == 4
    everything = list(timeline.sources_of_tenant(world.a.pk).values())
    count = sum(each.events._default_manager.filter(each.belongs).count() for each in everything)
    assert len(seen) == count
    page_text = client.get(url_of(Tenant, "history", world.a.pk)).content.decode()
    assert "after=" in page_text
    assert client.get(url_of(Tenant, "history", world.a.pk), {"after": "x"}).status_code == 404


def test_pages_neither_lose_nor_repeat_what_a_long_transaction_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events have the moment it began at, and ids beyond those that were written meanwhile."""
    for number in range(6):
        make.make_alias(world.domain, f"a{number}")
    events: Any = Address.pgh_event_model  # type: ignore[attr-defined]
    early = timezone.now() - timedelta(hours=1)
    late = events.objects.filter(key__in=["a2@a.example", "a5@a.example"])
    with pgtrigger.ignore("tenants.AddressEvent:append_only"):
        late.update(pgh_created_at=early)
    monkeypatch.setattr(timeline, "EVENTS_A_PAGE", 4)

    seen, place = [], None
    for _ in range(20):
        page = timeline.read(world.a.pk, Wanted(), place)
        seen += [row.subject for edit in page.edits for row in edit.rows if "alias" in row.subject]
        place = page.next
        if place is None:
            break

    assert sorted(seen) == [f"alias a{number}@a.example" for number in range(6)]


def test_an_edit_of_a_tenant_s_rows_is_taken_back_from_its_history(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x")
    edit(alias, note="n")
    key = last_edit(alias)
    client.post(f"{url_of(Tenant, 'revert', world.a.pk)}?edit={key}")
    alias.refresh_from_db()
    assert alias.note == ""
    foreign = make.make_alias(world.other_domain, "y")
    key = edits_of(foreign)[0].key
    assert client.post(f"{url_of(Tenant, 'revert', world.a.pk)}?edit={key}").status_code == 404
    assert Address.objects.filter(pk=foreign.pk).exists()
