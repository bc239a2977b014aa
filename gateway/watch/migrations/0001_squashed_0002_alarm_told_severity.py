"""All tables of watching at once, for a database that has none of them.

A database that has some of the migrations named in `replaces` goes on with those.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import gateway.ids
import pgtrigger.compiler
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [("watch", "0001_initial"), ("watch", "0002_alarm_told_severity")]

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("pghistory", "0007_auto_20250421_0444"),
        ("tenants", "0001_squashed_0013_list_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="AlarmRecipient",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "channel",
                    models.CharField(
                        choices=[("mail", "mail"), ("webhook", "webhook")],
                        default="mail",
                        max_length=8,
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        help_text="name@example.com for mail, https://example.com/hook for a webhook.",
                        max_length=500,
                    ),
                ),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("domain", "domain"),
                                ("target", "target"),
                                ("quota", "quota"),
                                ("attack", "attack"),
                                ("process", "process"),
                                ("disk", "disk"),
                                ("queue", "queue"),
                            ],
                            max_length=12,
                        ),
                        blank=True,
                        default=list,
                        help_text="Alarms of these kinds; none chosen means all.",
                        size=None,
                    ),
                ),
                (
                    "minimum_severity",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "warning"), (2, "critical")],
                        default=1,
                        verbose_name="from severity",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("name",),
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "watch_alarmrecipientevent" ("address", "channel", "enabled", "id", "kinds", "minimum_severity", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."address", new_values."channel", new_values."enabled", new_values."id", new_values."kinds", new_values."minimum_severity", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="e487910834eb6704007982483586db677f57e941",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_e44e7",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="watch_alarmrecipient",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "watch_alarmrecipientevent" ("address", "channel", "enabled", "id", "kinds", "minimum_severity", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."address", new_values."channel", new_values."enabled", new_values."id", new_values."kinds", new_values."minimum_severity", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="d75b7deba9a026b05170e9606cacead15b1aafb4",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_aa42d",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="watch_alarmrecipient",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "watch_alarmrecipientevent" ("address", "channel", "enabled", "id", "kinds", "minimum_severity", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT old_values."address", old_values."channel", old_values."enabled", old_values."id", old_values."kinds", old_values."minimum_severity", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="ab16413198f4f2fd7430e726d14a1c0fe1c05850",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_ee77e",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="watch_alarmrecipient",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AlarmRecipientEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                ("name", models.CharField(max_length=100)),
                (
                    "channel",
                    models.CharField(
                        choices=[("mail", "mail"), ("webhook", "webhook")],
                        default="mail",
                        max_length=8,
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        help_text="name@example.com for mail, https://example.com/hook for a webhook.",
                        max_length=500,
                    ),
                ),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("domain", "domain"),
                                ("target", "target"),
                                ("quota", "quota"),
                                ("attack", "attack"),
                                ("process", "process"),
                                ("disk", "disk"),
                                ("queue", "queue"),
                            ],
                            max_length=12,
                        ),
                        blank=True,
                        default=list,
                        help_text="Alarms of these kinds; none chosen means all.",
                        size=None,
                    ),
                ),
                (
                    "minimum_severity",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "warning"), (2, "critical")],
                        default=1,
                        verbose_name="from severity",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "pgh_context",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="watch.alarmrecipient",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="append_only",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                            hash="181cecce7d050439ce2c8970505273994d37a5fa",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_f49fe",
                            table="watch_alarmrecipientevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", models.CharField(max_length=120, primary_key=True, serialize=False)),
                ("role", models.CharField(max_length=20)),
                ("at", models.DateTimeField()),
                ("disk_free_octets", models.BigIntegerField(null=True)),
                ("disk_reserve_octets", models.BigIntegerField(null=True)),
            ],
            options={
                "ordering": ("process",),
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                (
                    "id",
                    models.UUIDField(default=gateway.ids.uuid7, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField()),
                ("subject", models.CharField(max_length=500)),
                ("text", models.TextField()),
                ("payload", models.JSONField()),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("sent", "sent"), ("failed", "failed")],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("reply", models.TextField(blank=True)),
                (
                    "recipient",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notices",
                        to="watch.alarmrecipient",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "waiting")),
                        fields=["next_attempt_at"],
                        name="notice_waiting",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Progress",
            fields=[
                ("job", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("until", models.DateTimeField()),
                ("settled_until", models.DateTimeField()),
            ],
            options={
                "ordering": ("job",),
            },
        ),
        migrations.CreateModel(
            name="QueueReading",
            fields=[
                ("at", models.DateTimeField(primary_key=True, serialize=False)),
                ("pending", models.PositiveBigIntegerField()),
                ("sending", models.PositiveBigIntegerField()),
                ("deferred", models.PositiveBigIntegerField()),
                ("held", models.PositiveBigIntegerField()),
                ("quarantined", models.PositiveBigIntegerField()),
                ("oldest_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ("-at",),
            },
        ),
        migrations.CreateModel(
            name="RefusedName",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                (
                    "role",
                    models.CharField(
                        choices=[("recipient", "recipient"), ("client", "client")], max_length=9
                    ),
                ),
                ("name", models.CharField(max_length=320)),
                ("count", models.PositiveBigIntegerField()),
            ],
            options={
                "ordering": ("-hour", "role", "-count"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "role", "name"), name="refused_name_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TrafficCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "span",
                    models.CharField(
                        choices=[("minute", "minute"), ("hour", "hour"), ("day", "day")],
                        max_length=6,
                    ),
                ),
                ("start", models.DateTimeField()),
                ("tenant_id", models.BigIntegerField(default=0)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("accepted", "accepted"),
                            ("deferred", "deferred"),
                            ("refused", "refused"),
                        ],
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(max_length=40)),
                ("count", models.PositiveBigIntegerField()),
            ],
            options={
                "ordering": ("-start", "tenant_id", "outcome", "reason"),
                "indexes": [models.Index(fields=["span", "start"], name="traffic_by_time")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("span", "tenant_id", "start", "outcome", "reason"),
                        name="traffic_count_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Alarm",
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
                            ("domain", "domain"),
                            ("target", "target"),
                            ("quota", "quota"),
                            ("attack", "attack"),
                            ("process", "process"),
                            ("disk", "disk"),
                            ("queue", "queue"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        help_text="What it is about, as a stable name.", max_length=350
                    ),
                ),
                ("title", models.CharField(max_length=400)),
                (
                    "severity",
                    models.PositiveSmallIntegerField(choices=[(1, "warning"), (2, "critical")]),
                ),
                ("evidence", models.TextField(blank=True)),
                ("link", models.CharField(blank=True, max_length=600)),
                ("opened_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("clear_since", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("snoozed_until", models.DateTimeField(blank=True, null=True)),
                ("note", models.TextField(blank=True)),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "assigned_to",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                    "told_severity",
                    models.PositiveSmallIntegerField(
                        blank=True, choices=[(1, "warning"), (2, "critical")], null=True
                    ),
                ),
            ],
            options={
                "ordering": ("-opened_at", "-id"),
                "indexes": [models.Index(fields=["closed_at"], name="alarm_closed_at")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at", None)),
                        fields=("kind", "subject"),
                        name="alarm_open_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlarmStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("opened", "opened"),
                            ("worsened", "became worse"),
                            ("eased", "became less"),
                            ("closed", "closed"),
                            ("acknowledged", "acknowledged"),
                            ("snoozed", "snoozed"),
                            ("woken", "snooze ended"),
                            ("assigned", "assigned"),
                            ("noted", "noted"),
                        ],
                        max_length=12,
                    ),
                ),
                ("text", models.TextField(blank=True)),
                ("actor", models.CharField(blank=True, max_length=150)),
                ("surface", models.CharField(blank=True, max_length=20)),
                ("client", models.GenericIPAddressField(null=True)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                (
                    "alarm",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="watch.alarm",
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
                "ordering": ("alarm", "-id"),
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="append_only",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                            hash="1d235b0d3b9d63bca271d51f707d1d8292f345dd",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_6d664",
                            table="watch_alarmstep",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
    ]
