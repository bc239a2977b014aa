"""All tables of the data plane at once, for a database that has none of them.

A database that has some of the migrations named in `replaces` goes on with those.
The table of bodies is partitioned by the day on which they may go, its octets are uncompressed.
The expressions of the index are those in gateway/delivery/queue.py, to the letter.
"""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import gateway.ids
import pgtrigger.compiler
from django.conf import settings
from django.db import migrations, models


BODY = """
CREATE TABLE gateway_body (
    id uuid NOT NULL,
    expires_on date NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (id, expires_on)
) PARTITION BY RANGE (expires_on);
ALTER TABLE gateway_body ALTER COLUMN octets SET STORAGE EXTERNAL;
CREATE TABLE gateway_body_default PARTITION OF gateway_body DEFAULT;
"""
PENDING = """
CREATE INDEX delivery_pending ON gateway_delivery
    ((kind || ':' || coalesce(hop_id, 0)::text), (coalesce(tenant_id, 0)), next_attempt_at)
WHERE state = 'pending'
"""


class Migration(migrations.Migration):
    replaces = [
        ("gateway", "0001_initial"),
        ("gateway", "0002_body"),
        ("gateway", "0003_delivery_lane"),
        ("gateway", "0004_intervention"),
        ("gateway", "0005_message_due"),
        ("gateway", "0006_delivery_mark"),
        ("gateway", "0007_outage"),
        ("gateway", "0008_receipt"),
        ("gateway", "0009_rate_totals"),
        ("gateway", "0010_dsn"),
        ("gateway", "0011_unchecked_references"),
        ("gateway", "0012_record_detail"),
        ("gateway", "0013_body_reading_and_reroute"),
        ("gateway", "0014_delivery_kept_back"),
        ("gateway", "0015_quarantine"),
        ("gateway", "0016_refusal_count_by_minute"),
        ("gateway", "0017_address_use"),
        ("gateway", "0018_why_refused_and_failed"),
        ("gateway", "0019_delivery_tried_since"),
        ("gateway", "0020_owner_and_holder_left"),
    ]

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("tenants", "0001_squashed_0013_list_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Body",
            fields=[
                (
                    "id",
                    models.UUIDField(default=gateway.ids.uuid7, primary_key=True, serialize=False),
                ),
                ("expires_on", models.DateField()),
                ("octets", models.BinaryField()),
            ],
            options={
                "db_table": "gateway_body",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("minute", models.BigIntegerField(default=0)),
                (
                    "counts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("total", models.BigIntegerField(default=0)),
                ("full_since", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("key",),
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.UUIDField(default=gateway.ids.uuid7, primary_key=True, serialize=False),
                ),
                ("queue_id", models.CharField(max_length=32)),
                ("received_at", models.DateTimeField()),
                (
                    "sender",
                    models.CharField(
                        blank=True, help_text="Empty is the null sender <>.", max_length=320
                    ),
                ),
                ("client", models.GenericIPAddressField(null=True)),
                ("helo", models.CharField(blank=True, max_length=255)),
                ("protocol", models.CharField(max_length=16)),
                ("smtputf8", models.BooleanField(default=False)),
                ("size_octets", models.PositiveBigIntegerField()),
                ("message_id", models.CharField(blank=True, max_length=998)),
                (
                    "digest",
                    models.BinaryField(
                        help_text="SHA-256 of envelope and content: tells a repeat."
                    ),
                ),
                ("body_id", models.UUIDField()),
                ("body_expires_on", models.DateField()),
                ("purged_at", models.DateTimeField(blank=True, null=True)),
                (
                    "dsn",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What its sender asked of delivery reports: RET and ENVID, as written.",
                        max_length=150,
                        verbose_name="DSN",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    django.contrib.postgres.indexes.HashIndex(
                        fields=["message_id"], name="message_by_message_id"
                    ),
                    models.Index(
                        condition=models.Q(("purged_at", None)),
                        fields=["body_expires_on"],
                        name="message_body_due",
                    ),
                    models.Index(
                        condition=models.Q(("purged_at", None), _negated=True),
                        fields=["received_at"],
                        name="message_purged",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("queue_id",), name="message_queue_id_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="RefusalCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("domain_name", models.CharField(max_length=255)),
                ("reason", models.CharField(max_length=40)),
                ("minute", models.DateTimeField()),
                ("count", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "ordering": ("-minute", "domain_name", "reason"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("domain_name", "reason", "minute"), name="refusal_count_once"
                    )
                ],
                "indexes": [models.Index(fields=["minute"], name="refusal_count_by_minute")],
            },
        ),
        migrations.CreateModel(
            name="RoutingRecord",
            fields=[
                (
                    "id",
                    models.UUIDField(default=gateway.ids.uuid7, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField()),
                ("queue_id", models.CharField(max_length=32)),
                ("sender", models.CharField(blank=True, max_length=320)),
                ("recipient", models.CharField(max_length=320)),
                ("key", models.CharField(max_length=320)),
                ("client", models.GenericIPAddressField(null=True)),
                ("strategy", models.CharField(max_length=20)),
                ("rule", models.CharField(max_length=400)),
                ("detail", models.CharField(blank=True, max_length=64)),
                (
                    "token",
                    models.CharField(
                        help_text="Correlates the record with logs and the sender's own trace.",
                        max_length=64,
                    ),
                ),
                ("accepted", models.BooleanField()),
                ("reason", models.CharField(max_length=40)),
                ("reply", models.CharField(max_length=300)),
                ("declared_octets", models.PositiveBigIntegerField(blank=True, null=True)),
                ("trace", models.JSONField(default=list)),
                (
                    "address",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.address",
                    ),
                ),
                (
                    "domain",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.domain",
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="records",
                        to="gateway.message",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["tenant", "-id"], name="record_by_tenant"),
                    models.Index(fields=["key", "-id"], name="record_by_key"),
                    models.Index(fields=["queue_id"], name="record_by_queue_id"),
                    models.Index(
                        condition=models.Q(("accepted", False)),
                        fields=["at"],
                        name="record_refused_at",
                    ),
                    models.Index(
                        condition=models.Q(("detail", ""), _negated=True),
                        fields=["detail"],
                        name="record_by_detail",
                    ),
                    models.Index(
                        condition=models.Q(("accepted", False)),
                        fields=["reason", "-id"],
                        name="record_refused_for",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(default=gateway.ids.uuid7, primary_key=True, serialize=False),
                ),
                ("kind", models.CharField(max_length=20)),
                ("recipient", models.CharField(blank=True, max_length=320)),
                ("destination", models.CharField(blank=True, max_length=300)),
                ("rewrites_sender", models.BooleanField(default=False)),
                ("null_sender", models.BooleanField(default=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("sending", "sending"),
                            ("deferred", "deferred"),
                            ("delivered", "delivered"),
                            ("failed", "failed"),
                            ("quarantined", "quarantined"),
                            ("held", "held"),
                        ],
                        default="pending",
                        max_length=12,
                    ),
                ),
                ("attempts_made", models.PositiveIntegerField(default=0)),
                ("crashes", models.PositiveSmallIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField()),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                (
                    "fence",
                    models.PositiveBigIntegerField(
                        default=0, help_text="Goes up with each claim; only its holder may settle."
                    ),
                ),
                ("last_reply", models.TextField(blank=True)),
                ("created_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "hop",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.target",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="gateway.message",
                    ),
                ),
                (
                    "record",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="gateway.routingrecord",
                    ),
                ),
                (
                    "mark",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Header lines that the message carries on top for this recipient.",
                    ),
                ),
                (
                    "dsn",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What the sender asked of delivery reports: NOTIFY and ORCPT, as written.",
                        max_length=600,
                        verbose_name="DSN",
                    ),
                ),
                (
                    "tried_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="When staff let it go on: its days of trying count from then.",
                        null=True,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "sending")),
                        fields=["lease_until"],
                        name="delivery_leased",
                    ),
                    models.Index(fields=["tenant", "-id"], name="delivery_by_tenant"),
                    models.Index(
                        condition=models.Q(("state", "deferred")),
                        fields=["next_attempt_at"],
                        name="delivery_deferred",
                    ),
                    models.Index(
                        condition=models.Q(("state__in", ["held", "quarantined"])),
                        fields=["state", "id"],
                        name="delivery_kept_back",
                    ),
                    models.Index(
                        condition=models.Q(("state", "failed")),
                        fields=["id"],
                        name="delivery_failed",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                ("outcome", models.CharField(max_length=12)),
                ("remote", models.CharField(blank=True, max_length=300)),
                ("reply", models.TextField(blank=True)),
                (
                    "delivery",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="gateway.delivery",
                    ),
                ),
            ],
            options={
                "ordering": ("delivery", "number"),
            },
        ),
        migrations.CreateModel(
            name="Intervention",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("retry", "retry now"),
                            ("hold", "hold"),
                            ("release", "release"),
                            ("reroute", "reroute"),
                            ("fail", "fail"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "from_state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("sending", "sending"),
                            ("deferred", "deferred"),
                            ("delivered", "delivered"),
                            ("failed", "failed"),
                            ("quarantined", "quarantined"),
                            ("held", "held"),
                        ],
                        max_length=12,
                        verbose_name="state before",
                    ),
                ),
                ("actor", models.CharField(max_length=150)),
                ("surface", models.CharField(max_length=20)),
                ("client", models.GenericIPAddressField(null=True)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="interventions",
                        to="gateway.delivery",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "detail",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where a rerouted delivery went before, and where it goes instead.",
                        max_length=700,
                    ),
                ),
            ],
            options={
                "ordering": ("delivery", "id"),
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="append_only",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                            hash="ffb2aeff02fa5331b780106f586bd0a3990a7744",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_7f09e",
                            table="gateway_intervention",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Outage",
            fields=[
                ("lane", models.CharField(max_length=50, primary_key=True, serialize=False)),
                ("since", models.DateTimeField()),
                ("failures", models.PositiveIntegerField(default=1)),
                ("until", models.DateTimeField()),
                ("place", models.CharField(max_length=300)),
                ("reply", models.TextField(blank=True)),
            ],
            options={
                "ordering": ("since",),
            },
        ),
        migrations.CreateModel(
            name="Receipt",
            fields=[
                (
                    "key",
                    models.UUIDField(
                        help_text="The first half of the message's digest.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("queue_id", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ("-at",),
                "indexes": [models.Index(fields=["at"], name="receipt_at")],
            },
        ),
        migrations.CreateModel(
            name="BodyReading",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("queue_id", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("read", "read as text"), ("download", "downloaded")],
                        max_length=10,
                    ),
                ),
                ("actor", models.CharField(max_length=150)),
                ("client", models.GenericIPAddressField(null=True)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(max_length=200)),
                (
                    "message",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.message",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "permissions": [
                    ("read_body", "Can read what stands in messages"),
                    ("download_body", "Can download messages as they came"),
                ],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["message"], name="body_reading_by_message")],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="append_only",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                            hash="b9e5a3e0391e917b24f785cb53fba950f97097e8",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_be4c2",
                            table="gateway_bodyreading",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Quarantined",
            fields=[],
            options={
                "verbose_name": "delivery kept back",
                "verbose_name_plural": "quarantine",
                "ordering": ("-id",),
                "proxy": True,
                "default_permissions": (),
            },
            bases=("gateway.delivery",),
        ),
        migrations.CreateModel(
            name="Watermark",
            fields=[
                ("job", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="AddressUse",
            fields=[
                (
                    "address",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="use",
                        serialize=False,
                        to="tenants.address",
                    ),
                ),
                (
                    "used_at",
                    models.DateTimeField(help_text="Empty where none has come yet.", null=True),
                ),
                (
                    "idle_since",
                    models.DateTimeField(
                        help_text="The last mail, or the day the address was made."
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["idle_since", "address"], name="address_idle_since")
                ],
            },
        ),
        migrations.CreateModel(
            name="Concern",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("broken", "target broken"),
                            ("left", "owner left"),
                            ("holder", "holder left"),
                        ],
                        max_length=8,
                    ),
                ),
                ("detail", models.CharField(max_length=500)),
                ("since", models.DateTimeField()),
                (
                    "address",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="concerns",
                        to="tenants.address",
                    ),
                ),
            ],
            options={
                "ordering": ("kind", "address"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "address"), name="concern_once_by_address"
                    )
                ],
            },
        ),
        migrations.RunSQL(BODY, "DROP TABLE gateway_body"),
        migrations.RunSQL(PENDING, "DROP INDEX delivery_pending"),
    ]
