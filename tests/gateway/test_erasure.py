"""A person's data is erased from mail, its trail and the history, and nobody else's."""

import re
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from pghistory.models import Context

from gateway import erasure
from gateway.models import Attempt, Body, Message, RoutingRecord
from gateway.routing.address import Address
from gateway.watch.models import AlarmRecipient, Notice, RefusedName
from tenants import changes, jobs
from tenants.changes import Actor
from tenants.jobs.erasing import draft_erasure
from tenants.models import Job, Target
from tenants.moving_in.inventory import Inventory, OldMailbox
from tenants.moving_in.keeping import inventory_of, keep
from tests import world as make
from tests.gateway import outbox
from tests.gateway.stage import Stage
from tests.staff import make_staff

ACTOR = Actor.system("test")
PERSON = "jane.doe@person.example"
USED = "used@person.example"  # by rows that stay for the tests that follow
OTHERS = "mary.jane.doe@person.example"
# Words of the program, secrets, and what is written so that no address can be found in it.
NAMING_NOBODY = {
    "account_emailconfirmation",
    "auth_group",
    "auth_permission",
    "django_celery_beat_crontabschedule",
    "django_celery_beat_intervalschedule",
    "django_celery_beat_solarschedule",
    "django_content_type",
    "django_migrations",
    "django_session",
    "mfa_authenticator",
    "socialaccount_socialapp",
    "socialaccount_socialtoken",
}


def erase(text: str = PERSON) -> Job:
    job = draft_erasure(text, actor=ACTOR, reason="asked for by letter")
    jobs.check(job)
    return jobs.apply(job)


def everything() -> str:
    """Every table of the database but the bodies, as one text."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        for (table,) in cursor.fetchall():
            if not table.startswith("gateway_body"):
                cursor.execute(f'SELECT t::text FROM "{table}" t')
                found += [row for (row,) in cursor.fetchall()]
    return "\n".join(found)


@pytest.fixture
def mail(stage: Stage) -> dict[str, Any]:
    """Mail from the person, to the person, and beside the person; all of it delivered."""
    outbox.empty()
    sent = outbox.put(sender=PERSON.upper())
    received = outbox.put(original=PERSON, recipients=(PERSON,))
    beside = outbox.put(sender=OTHERS)
    for delivery in (*sent, *received, *beside):
        type(delivery).objects.filter(pk=delivery.pk).update(state="delivered")
    at = sent[0].created_at
    Attempt.objects.create(
        delivery=received[0],
        number=1,
        started_at=at,
        finished_at=at,
        outcome="delivered",
        reply=f"250 2.1.5 <{PERSON}> Ok",
    )
    return {"sent": sent[0], "received": received[0], "beside": beside[0]}


def test_address_is_nowhere_any_more_and_rows_are_still_there(mail: dict[str, Any]) -> None:
    records = RoutingRecord.objects.count()

    job = erase()

    assert job.state == Job.State.DONE
    assert PERSON not in everything().replace(OTHERS, "").lower()
    assert RoutingRecord.objects.count() == records
    pseudonym = job.title.rpartition(" ")[2]
    assert Message.objects.get(pk=mail["sent"].message_id).sender == pseudonym
    assert Attempt.objects.get().reply == f"250 2.1.5 <{pseudonym}> Ok"


def test_bodies_that_were_theirs_are_gone_and_others_stay(mail: dict[str, Any]) -> None:
    erase()

    assert {each.pk for each in Body.objects.all()} == {mail["beside"].message_id}
    purged = Message.objects.exclude(purged_at=None).values_list("pk", flat=True)
    assert set(purged) == {mail["sent"].message_id, mail["received"].message_id}


def test_address_that_only_ends_like_it_stays(mail: dict[str, Any]) -> None:
    erase()
    assert Message.objects.get(pk=mail["beside"].message_id).sender == OTHERS


def test_history_forgets_a_deleted_address_with_its_local_part(stage: Stage) -> None:
    alias = stage.alias("jane.doe")
    gone, key = alias.pk, alias.key
    changes.delete(alias, actor=ACTOR, reason=f"{key} has left")
    assert key in everything()

    erase(key)

    assert key not in everything()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT local_part FROM tenants_addressevent WHERE pgh_obj_id = %s", [gone]
        )
        (only,) = cursor.fetchall()
    assert only[0].startswith("erased-")


def test_who_edited_and_why_and_the_admin_s_log_forget_it_too(stage: Stage) -> None:
    alias = stage.alias("jane.doe")
    key = alias.key
    changes.delete(alias, actor=Actor.system(key), reason=f"{OTHERS} asked for {key}")
    staff = make_staff("who-logged")
    kind = ContentType.objects.get_for_model(Target)
    LogEntry.objects.create(
        user=staff, content_type=kind, object_repr=f"forward to {key}", action_flag=CHANGE
    )

    job = erase(key)

    assert key not in everything()
    pseudonym = job.title.rpartition(" ")[2]
    edit = Context.objects.get(metadata__actor=pseudonym)
    assert edit.metadata["reason"] == f"{OTHERS} asked for {pseudonym}"
    assert LogEntry.objects.get().object_repr == f"forward to {pseudonym}"
    assert {"who edited and why", "log of the admin"} <= set(
        job.items.filter(note="1 row").values_list("label", flat=True)
    )
    staff.delete()


def test_address_that_somebody_signs_in_with_is_named(database: None) -> None:
    owner = make_staff("who-signs-in")
    EmailAddress.objects.create(user=owner, email=PERSON)
    with pytest.raises(ValidationError, match=f"email address {PERSON}"):
        draft_erasure(PERSON, actor=ACTOR, reason="asked for")
    owner.delete()


def test_no_table_with_text_is_overlooked(database: None) -> None:
    erased = {each.table for each in erasure.parts()}
    used = {model._meta.db_table for model in erasure._used()}
    tables = filter(erasure._columns, connection.introspection.table_names())
    assert set(tables) - erased - used == NAMING_NOBODY


def test_what_watches_and_what_another_system_held_forget_it_too(stage: Stage) -> None:
    outbox.empty()
    now = datetime.now(UTC)
    RefusedName.objects.create(hour=now, role="recipient", name=PERSON, count=3)
    Notice.objects.create(
        recipient=make.save(AlarmRecipient(name="On call", address="on-call@staff.example")),
        created_at=now,
        subject="Attack",
        text=f"Most of it is for {PERSON}.",
        payload={"to": [PERSON]},
        next_attempt_at=now,
    )
    source = keep(
        Inventory(mailboxes={key: OldMailbox(key) for key in (PERSON, OTHERS)}),
        tenant=stage.tenant,
        next_hop=make.make_hop(stage.tenant),
        product="postfixadmin",
        name="postfix.sql",
        domains=[],
        actor=ACTOR,
    )
    assert PERSON in inventory_of(source).mailboxes

    erase()

    assert PERSON not in everything().replace(OTHERS, "")
    left = set(inventory_of(source).mailboxes)
    assert OTHERS in left
    assert PERSON not in left
    source.delete()
    AlarmRecipient.objects.all().delete()


@pytest.mark.parametrize("where", ["alias", "forward", "sender", "note"])
def test_address_in_use_is_named_and_nothing_is_erased(stage: Stage, where: str) -> None:
    person = stage.address("jane") if where == "alias" else USED
    options: dict[str, Any] = {
        "alias": {"local_part": "jane"},
        "forward": {"local_part": "sales"},
        "sender": {"local_part": "sales", "allowed_senders": [USED]},
        "note": {"local_part": "sales", "note": f"Ask {USED} first."},
    }[where]
    targets = [Target(kind="forward", forward_to=USED)] if where == "forward" else []
    stage.alias(options.pop("local_part"), *targets, **options)

    with pytest.raises(ValidationError, match="still in use"):
        draft_erasure(person, actor=ACTOR, reason="asked for")


def test_mail_that_waits_is_named(stage: Stage) -> None:
    outbox.empty()
    outbox.put(sender=PERSON)
    with pytest.raises(ValidationError, match="mail that waits"):
        draft_erasure(PERSON, actor=ACTOR, reason="asked for")
    outbox.empty()


def test_check_changes_nothing_and_counts(mail: dict[str, Any]) -> None:
    job = draft_erasure(PERSON, actor=ACTOR, reason="asked for")

    jobs.check(job)

    assert Body.objects.count() == 3
    assert Message.objects.get(pk=mail["sent"].message_id).sender == PERSON.upper()
    notes = dict(job.items.exclude(note="").values_list("label", "note"))
    assert next(note for label, note in notes.items() if label.startswith("bodies")) == "2 rows"


def test_text_that_is_no_address_is_refused_at_its_field(database: None) -> None:
    with pytest.raises(ValidationError) as refused:
        draft_erasure("jane", actor=ACTOR, reason="asked for")
    assert list(refused.value.message_dict) == ["address"]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (f"<{PERSON}>", True),
        (f"to {PERSON.upper()}.", True),
        (f"unknown user '{PERSON}'", True),
        (f"rcpt={PERSON}, relay=none", True),
        (f"{{{PERSON},x@y.example}}", True),
        ("SRS0=HHHH=TT=person.example=jane.doe@bounces.example", True),
        (f"x{PERSON}", False),
        (f"a.{PERSON}", False),
        (f"{PERSON}.org", False),
        (f"{PERSON}-x", False),
    ],
)
def test_address_ends_where_it_ends(database: None, text: str, is_found: bool) -> None:
    person = Address.parse(PERSON)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s ~* %s", [text, erasure._pattern(person)])
        assert cursor.fetchone() == (is_found,)
    pattern = erasure._pattern(person, erasure._BORDERS_IN_PYTHON)
    assert bool(re.search(pattern, text, re.IGNORECASE)) is is_found


def test_every_spelling_is_erased(stage: Stage) -> None:
    """As recipients were typed, and in texts, those in JSON too."""
    outbox.empty()
    typed = ["Juno@BÜCHER.example", '"juno"@bücher.example', r'"j\uno"@xn--bcher-kva.example']
    for original in (*typed, "juno@bücher。example"):
        [delivery] = outbox.put(original=original)
        RoutingRecord.objects.filter(recipient=original).update(key=Address.parse(original).key)
        type(delivery).objects.update(state="delivered")
    for text in (
        *typed[:2],
        '"juno"@xn--bcher-kva.example',
        "SRS0=H=T=bücher.example=juno@b.example",
    ):
        alias = stage.alias("sales", note=f"Ask {text}.")
        changes.delete(alias, actor=ACTOR, reason=f"{text} has left")

    pseudonym = erase("juno@bücher.example").title.rpartition(" ")[2]

    assert "juno" not in everything().lower()
    found = RoutingRecord.objects.values_list("recipient", "key")
    assert set(found) == {(pseudonym, pseudonym)}


def test_sender_within_a_return_path_stays_an_address(stage: Stage) -> None:
    """Bounces to the delivery's own return path read it again."""
    outbox.empty()
    [delivery] = outbox.put(sender="SRS0=HHHH=TT=person.example=jane.doe@bounces.example")
    type(delivery).objects.update(state="delivered")

    name = erase().title.rpartition(" ")[2].partition("@")[0]

    sender = Message.objects.get(pk=delivery.message_id).sender
    assert sender == f"SRS0=HHHH=TT=erased.invalid={name}@bounces.example"
    assert str(Address.parse(sender)) == sender


def test_local_part_that_needs_quotes_is_erased(stage: Stage) -> None:
    alias = stage.alias('"Juno Doe"')
    changes.delete(alias, actor=ACTOR, reason=f'"Juno Doe"@{stage.domain.name} has left')
    assert alias.key.startswith("juno doe@")

    erase(f'"Juno Doe"@{stage.domain.name}')

    assert not re.search(r"juno doe\W*@", everything().lower())


def test_command_counts_first_and_erases_when_told(mail: dict[str, Any]) -> None:
    said = StringIO()
    call_command("erase_person", PERSON, "--reason", "by letter", stdout=said)
    assert "Nothing was erased" in said.getvalue()
    assert Body.objects.count() == 3

    call_command("erase_person", PERSON, "--reason", "by letter", "--apply", stdout=said)
    assert PERSON not in everything().replace(OTHERS, "").lower()


def test_reason_may_not_keep_the_address(database: None) -> None:
    with pytest.raises(CommandError, match="out of the reason"):
        call_command("erase_person", PERSON, "--reason", f"{PERSON} asked")
