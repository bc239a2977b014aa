"""All tables of the control plane at once, with their triggers, for a database that has none of them.

A database that has some of the migrations named in `replaces` goes on with those.
"""

import django.contrib.auth.models
import django.contrib.auth.validators
import django.contrib.postgres.fields
import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
import django.utils.timezone
import gateway.routing.authentication
import gateway.routing.facts
import pgtrigger.compiler
import pgtrigger.migrations
import tenants.models.domain
import tenants.models.fields
import tenants.models.target
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [
        ("tenants", "0001_initial"),
        ("tenants", "0002_retention_from_receipt"),
        ("tenants", "0003_sender_authentication"),
        ("tenants", "0004_call_ahead"),
        ("tenants", "0005_content_filter"),
        ("tenants", "0006_by_beginning"),
        ("tenants", "0007_jobs"),
        ("tenants", "0008_staff_history"),
        ("tenants", "0009_domain_check_advice"),
        ("tenants", "0010_sources"),
        ("tenants", "0011_exports"),
        ("tenants", "0012_saved_view"),
        ("tenants", "0013_list_indexes"),
    ]

    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("pghistory", "0007_auto_20250421_0444"),
    ]

    operations = [
        migrations.CreateModel(
            name="Plan",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "max_domains",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="domains"),
                ),
                (
                    "max_addresses",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="addresses"),
                ),
                (
                    "max_message_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="largest message (octets)"
                    ),
                ),
                (
                    "messages_per_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages per hour"
                    ),
                ),
                (
                    "stored_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="stored octets"
                    ),
                ),
                (
                    "retention_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Days from receipt for which bodies and stored inboxes are kept (what still waits for delivery, longer). Messages and routing records stay at least as long.",
                        null=True,
                        verbose_name="retention (days)",
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
            ],
            options={
                "ordering": ("name",),
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_planevent" ("id", "max_addresses", "max_domains", "max_message_octets", "messages_per_hour", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "retention_days", "stored_octets") SELECT new_values."id", new_values."max_addresses", new_values."max_domains", new_values."max_message_octets", new_values."messages_per_hour", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."retention_days", new_values."stored_octets" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="60698a498bf5b168f820f47417f94240e2529c92",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_561f9",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_plan",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_planevent" ("id", "max_addresses", "max_domains", "max_message_octets", "messages_per_hour", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "retention_days", "stored_octets") SELECT new_values."id", new_values."max_addresses", new_values."max_domains", new_values."max_message_octets", new_values."messages_per_hour", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."retention_days", new_values."stored_octets" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="0d12154c5b4918baa7ef1e0326745f6a7da91a1a",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_bdd9b",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_plan",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_planevent" ("id", "max_addresses", "max_domains", "max_message_octets", "messages_per_hour", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "retention_days", "stored_octets") SELECT old_values."id", old_values."max_addresses", old_values."max_domains", old_values."max_message_octets", old_values."messages_per_hour", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."retention_days", old_values."stored_octets" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="8c3a93c3ca9e5f64f92a27bd02574fd22db1fb3a",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_53bdc",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_plan",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "max_domains",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="domains"),
                ),
                (
                    "max_addresses",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="addresses"),
                ),
                (
                    "max_message_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="largest message (octets)"
                    ),
                ),
                (
                    "messages_per_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages per hour"
                    ),
                ),
                (
                    "stored_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="stored octets"
                    ),
                ),
                (
                    "retention_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Days from receipt for which bodies and stored inboxes are kept (what still waits for delivery, longer). Messages and routing records stay at least as long.",
                        null=True,
                        verbose_name="retention (days)",
                    ),
                ),
                ("name", models.CharField(max_length=100)),
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
                        to="tenants.plan",
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
                            hash="4edbfbd7a6997c5b02a6e0912a19bba06b74df73",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_050e6",
                            table="tenants_planevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "max_domains",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="domains"),
                ),
                (
                    "max_addresses",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="addresses"),
                ),
                (
                    "max_message_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="largest message (octets)"
                    ),
                ),
                (
                    "messages_per_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages per hour"
                    ),
                ),
                (
                    "stored_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="stored octets"
                    ),
                ),
                (
                    "retention_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Days from receipt for which bodies and stored inboxes are kept (what still waits for delivery, longer). Messages and routing records stay at least as long.",
                        null=True,
                        verbose_name="retention (days)",
                    ),
                ),
                (
                    "external_id",
                    models.CharField(
                        help_text="The tenant's id in your own systems.",
                        max_length=100,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9._:-]+$", "Use letters, digits, dot, dash, colon, _."
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "active"),
                            ("suspended", "suspended"),
                            ("abuse", "suspended for abuse"),
                            ("closed", "closed"),
                        ],
                        default="active",
                        max_length=16,
                    ),
                ),
                (
                    "state_since",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tenants",
                        to="tenants.plan",
                    ),
                ),
                (
                    "filters_mail",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether the content filter looks at mail before it is accepted, where this installation has one. An address may choose for itself.",
                        verbose_name="filter content",
                    ),
                ),
                (
                    "on_spam",
                    models.CharField(
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default=gateway.routing.authentication.OnFailure["REJECT"],
                        default=gateway.routing.authentication.OnFailure["REJECT"],
                        help_text="Held mail waits among the deliveries until somebody releases it.",
                        max_length=8,
                        verbose_name="mail that the filter rejects",
                    ),
                ),
                (
                    "on_suspicious",
                    models.CharField(
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default=gateway.routing.authentication.OnFailure["MARK"],
                        default=gateway.routing.authentication.OnFailure["MARK"],
                        help_text="Marked mail carries X-Spam-Flag and what the filter said.",
                        max_length=8,
                        verbose_name="mail that the filter would mark",
                    ),
                ),
                (
                    "on_virus",
                    models.CharField(
                        choices=[("reject", "is rejected"), ("hold", "is held")],
                        db_default=gateway.routing.authentication.OnFailure["REJECT"],
                        default=gateway.routing.authentication.OnFailure["REJECT"],
                        max_length=8,
                        verbose_name="mail with a virus",
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "indexes": [
                    models.Index(
                        django.db.models.functions.comparison.Collate(
                            django.db.models.functions.text.Lower("name"), "C"
                        ),
                        models.F("id"),
                        name="tenant_by_name",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["active", "suspended", "abuse", "closed"])
                        ),
                        name="tenant_state_known",
                        violation_error_code="state",
                        violation_error_message="Choose one of the tenant states.",
                    )
                ],
                "permissions": [
                    ("export_rows", "Can export rows"),
                    ("erase_person", "Can erase a person's data"),
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_tenantevent" ("created_at", "external_id", "filters_mail", "id", "max_addresses", "max_domains", "max_message_octets", "messages_per_hour", "name", "on_spam", "on_suspicious", "on_virus", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "retention_days", "state", "state_since", "stored_octets") SELECT new_values."created_at", new_values."external_id", new_values."filters_mail", new_values."id", new_values."max_addresses", new_values."max_domains", new_values."max_message_octets", new_values."messages_per_hour", new_values."name", new_values."on_spam", new_values."on_suspicious", new_values."on_virus", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."plan_id", new_values."retention_days", new_values."state", new_values."state_since", new_values."stored_octets" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="c633aea7ba912cea324ddaa114159dd71378fb6b",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_0f00f",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_tenant",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_tenantevent" ("created_at", "external_id", "filters_mail", "id", "max_addresses", "max_domains", "max_message_octets", "messages_per_hour", "name", "on_spam", "on_suspicious", "on_virus", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "retention_days", "state", "state_since", "stored_octets") SELECT new_values."created_at", new_values."external_id", new_values."filters_mail", new_values."id", new_values."max_addresses", new_values."max_domains", new_values."max_message_octets", new_values."messages_per_hour", new_values."name", new_values."on_spam", new_values."on_suspicious", new_values."on_virus", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."plan_id", new_values."retention_days", new_values."state", new_values."state_since", new_values."stored_octets" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="f4907c30b8d5021cbb4207836720d9763ba9db6f",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_8ddba",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_tenant",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_tenantevent" ("created_at", "external_id", "filters_mail", "id", "max_addresses", "max_domains", "max_message_octets", "messages_per_hour", "name", "on_spam", "on_suspicious", "on_virus", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "retention_days", "state", "state_since", "stored_octets") SELECT old_values."created_at", old_values."external_id", old_values."filters_mail", old_values."id", old_values."max_addresses", old_values."max_domains", old_values."max_message_octets", old_values."messages_per_hour", old_values."name", old_values."on_spam", old_values."on_suspicious", old_values."on_virus", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."plan_id", old_values."retention_days", old_values."state", old_values."state_since", old_values."stored_octets" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="5359676ffa2172061750d840700fcac53c60910c",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_e3c84",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_tenant",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="NextHop",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "protocol",
                    models.CharField(
                        choices=[("smtp", "SMTP"), ("lmtp", "LMTP")], default="smtp", max_length=8
                    ),
                ),
                ("host", models.CharField(max_length=255)),
                (
                    "port",
                    models.PositiveIntegerField(
                        default=25,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(65535),
                        ],
                    ),
                ),
                (
                    "tls",
                    models.CharField(
                        choices=[
                            ("none", "none"),
                            ("opportunistic", "STARTTLS when offered"),
                            ("required", "STARTTLS required"),
                            ("implicit", "TLS from the start"),
                        ],
                        default="opportunistic",
                        max_length=16,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="next_hops",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "calls_ahead",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Before the gateway accepts mail for a mailbox here, it asks this server whether it takes mail for that mailbox, and refuses the recipient where the server says that it does not. Mail is accepted as usual while the server does not answer. Only for servers that refuse unknown recipients themselves.",
                        verbose_name="asked about each recipient",
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "name"),
                        name="next_hop_named_once",
                        nulls_distinct=False,
                        violation_error_code="name",
                        violation_error_message="A next hop of this name exists already.",
                    )
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_nexthopevent" ("calls_ahead", "host", "id", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "port", "protocol", "tenant_id", "tls") SELECT new_values."calls_ahead", new_values."host", new_values."id", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."port", new_values."protocol", new_values."tenant_id", new_values."tls" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="40844bc95231b8b6759d622120956d654a10d48d",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_5136f",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_nexthop",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_nexthopevent" ("calls_ahead", "host", "id", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "port", "protocol", "tenant_id", "tls") SELECT new_values."calls_ahead", new_values."host", new_values."id", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."port", new_values."protocol", new_values."tenant_id", new_values."tls" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="1ed3640a4a1592ceee2c67cb688e97ccd541af38",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_753d0",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_nexthop",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_nexthopevent" ("calls_ahead", "host", "id", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "port", "protocol", "tenant_id", "tls") SELECT old_values."calls_ahead", old_values."host", old_values."id", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."port", old_values."protocol", old_values."tenant_id", old_values."tls" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="4e9517fd14ad3c994b8549ee0062210defaa052a",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_50e3c",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_nexthop",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Mailbox",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        help_text="The recipient that the next hop is given, as name@example.com.",
                        max_length=320,
                    ),
                ),
                ("key", models.CharField(editable=False, max_length=320)),
                ("name", models.CharField(blank=True, max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[("person", "person"), ("team", "team")],
                        default="person",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "next_hop",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="mailboxes",
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="mailboxes",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "mailboxes",
                "ordering": ("address", "id"),
                "indexes": [
                    models.Index(
                        django.db.models.functions.comparison.Collate("key", "C"),
                        models.F("id"),
                        name="mailbox_by_key",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "key"),
                        name="mailbox_once_by_tenant",
                        violation_error_code="address",
                        violation_error_message="The tenant has this mailbox already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("key", ""), _negated=True),
                        name="mailbox_key_set",
                        violation_error_code="address",
                        violation_error_message="Write the mailbox's address.",
                    ),
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_mailboxevent" ("address", "created_at", "id", "key", "kind", "name", "next_hop_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "tenant_id") SELECT new_values."address", new_values."created_at", new_values."id", new_values."key", new_values."kind", new_values."name", new_values."next_hop_id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."tenant_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="e474ec284be81f5a2652150c62ec3f938610d07b",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_5154c",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_mailbox",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_mailboxevent" ("address", "created_at", "id", "key", "kind", "name", "next_hop_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "tenant_id") SELECT new_values."address", new_values."created_at", new_values."id", new_values."key", new_values."kind", new_values."name", new_values."next_hop_id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."tenant_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="45d5d8373db2881496da266747fb25fea894f0ab",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_ecca6",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_mailbox",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_mailboxevent" ("address", "created_at", "id", "key", "kind", "name", "next_hop_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "tenant_id") SELECT old_values."address", old_values."created_at", old_values."id", old_values."key", old_values."kind", old_values."name", old_values."next_hop_id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."tenant_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="8e7a7368b7861c96a47f68e37703c8e6603193ff",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_66876",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_mailbox",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Domain",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Stored as A-label: bücher.example is xn--bcher-kva.example.",
                        max_length=255,
                        verbose_name="domain",
                    ),
                ),
                (
                    "u_label",
                    models.CharField(
                        blank=True, editable=False, max_length=255, verbose_name="as people read it"
                    ),
                ),
                (
                    "environment",
                    models.CharField(
                        default="production",
                        help_text="Domains of different environments never forward to each other.",
                        max_length=40,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9-]+$", "Use lower-case letters, digits and dashes."
                            )
                        ],
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("active", "active"),
                            ("degraded", "degraded"),
                            ("released", "released"),
                        ],
                        default="pending",
                        editable=False,
                        max_length=16,
                    ),
                ),
                (
                    "state_since",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "verified_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="When DNS first proved the claim.",
                        null=True,
                    ),
                ),
                (
                    "token",
                    models.CharField(
                        default=tenants.models.domain.new_token,
                        editable=False,
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "delimiters",
                    models.CharField(
                        blank=True,
                        default="+",
                        help_text="The first of these characters splits name+detail; empty turns subaddresses off.",
                        max_length=4,
                        validators=[tenants.models.domain.validate_delimiters],
                        verbose_name="subaddress delimiters",
                    ),
                ),
                (
                    "local_part_pattern",
                    models.CharField(
                        blank=True,
                        help_text="RE2 pattern for the whole local part, lower case; empty allows all.",
                        max_length=200,
                        validators=[tenants.models.fields.validate_pattern],
                        verbose_name="allowed local parts",
                    ),
                ),
                (
                    "local_part_max_octets",
                    models.PositiveSmallIntegerField(
                        blank=True, null=True, verbose_name="longest local part (octets)"
                    ),
                ),
                (
                    "hides_disabled",
                    models.BooleanField(
                        default=False,
                        help_text="Disabled and expired addresses answer as if they never existed.",
                        verbose_name="disabled looks unknown",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "default_role_holder",
                    models.ForeignKey(
                        blank=True,
                        help_text="Gets postmaster@ and abuse@ where no row says otherwise; empty stores them.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.mailbox",
                    ),
                ),
                (
                    "smarthost",
                    models.ForeignKey(
                        blank=True,
                        help_text="The relay for this domain's forwards; empty takes the installation's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="domains",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "indexes": [
                    models.Index(
                        django.db.models.functions.comparison.Collate("name", "C"),
                        models.F("id"),
                        name="domain_by_name",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                (
                                    gateway.routing.facts.DomainState["ACTIVE"],
                                    gateway.routing.facts.DomainState["DEGRADED"],
                                ),
                            )
                        ),
                        fields=("name",),
                        name="domain_verified_once",
                        violation_error_code="name",
                        violation_error_message="Another claim of this domain is verified already.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("state", gateway.routing.facts.DomainState["RELEASED"]), _negated=True
                        ),
                        fields=("tenant", "name"),
                        name="domain_claimed_once_by_tenant",
                        violation_error_code="name",
                        violation_error_message="The tenant has claimed this domain already.",
                    ),
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_domainevent" ("created_at", "default_role_holder_id", "delimiters", "environment", "hides_disabled", "id", "local_part_max_octets", "local_part_pattern", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "smarthost_id", "state", "state_since", "tenant_id", "token", "u_label", "verified_at") SELECT new_values."created_at", new_values."default_role_holder_id", new_values."delimiters", new_values."environment", new_values."hides_disabled", new_values."id", new_values."local_part_max_octets", new_values."local_part_pattern", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."smarthost_id", new_values."state", new_values."state_since", new_values."tenant_id", new_values."token", new_values."u_label", new_values."verified_at" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="b04f87428b2285f7ae9014916a158e5011093a3c",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_2685a",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_domain",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_domainevent" ("created_at", "default_role_holder_id", "delimiters", "environment", "hides_disabled", "id", "local_part_max_octets", "local_part_pattern", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "smarthost_id", "state", "state_since", "tenant_id", "token", "u_label", "verified_at") SELECT new_values."created_at", new_values."default_role_holder_id", new_values."delimiters", new_values."environment", new_values."hides_disabled", new_values."id", new_values."local_part_max_octets", new_values."local_part_pattern", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."smarthost_id", new_values."state", new_values."state_since", new_values."tenant_id", new_values."token", new_values."u_label", new_values."verified_at" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="43789964db7710e6b226fb2b5c49bf5678951cef",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_3d1ad",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_domain",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_domainevent" ("created_at", "default_role_holder_id", "delimiters", "environment", "hides_disabled", "id", "local_part_max_octets", "local_part_pattern", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "smarthost_id", "state", "state_since", "tenant_id", "token", "u_label", "verified_at") SELECT old_values."created_at", old_values."default_role_holder_id", old_values."delimiters", old_values."environment", old_values."hides_disabled", old_values."id", old_values."local_part_max_octets", old_values."local_part_pattern", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."smarthost_id", old_values."state", old_values."state_since", old_values."tenant_id", old_values."token", old_values."u_label", old_values."verified_at" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="ada3632ffb3d5099966cae49c93f7b5b426136d2",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_b2da4",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_domain",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SendAsIdentity",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        help_text="The address that the mailbox sends as.", max_length=320
                    ),
                ),
                ("key", models.CharField(db_index=True, editable=False, max_length=320)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("verified", "verified"),
                            ("revoked", "revoked"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "granted_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="The owner who grants it, where the address does not route to the mailbox.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="identities",
                        to="tenants.mailbox",
                    ),
                ),
            ],
            options={
                "verbose_name": "send-as identity",
                "verbose_name_plural": "send-as identities",
                "ordering": ("key", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("mailbox", "key"),
                        name="identity_once_by_mailbox",
                        violation_error_code="address",
                        violation_error_message="The mailbox has this identity already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("key", ""), _negated=True),
                        name="identity_key_set",
                        violation_error_code="address",
                        violation_error_message="Write the address to send as.",
                    ),
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_sendasidentityevent" ("address", "created_at", "expires_at", "granted_by_id", "id", "key", "mailbox_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "state") SELECT new_values."address", new_values."created_at", new_values."expires_at", new_values."granted_by_id", new_values."id", new_values."key", new_values."mailbox_id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."state" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="89582f5a05900eb3bf49edf7adc6dac368551bc2",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_51418",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_sendasidentity",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_sendasidentityevent" ("address", "created_at", "expires_at", "granted_by_id", "id", "key", "mailbox_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "state") SELECT new_values."address", new_values."created_at", new_values."expires_at", new_values."granted_by_id", new_values."id", new_values."key", new_values."mailbox_id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."state" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="48aea82a52c50fa4203c336dd2facaa73e1f1962",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_1cb28",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_sendasidentity",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_sendasidentityevent" ("address", "created_at", "expires_at", "granted_by_id", "id", "key", "mailbox_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "state") SELECT old_values."address", old_values."created_at", old_values."expires_at", old_values."granted_by_id", old_values."id", old_values."key", old_values."mailbox_id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."state" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="484c09f16d7bd38434fa3dcf251a9c544190e637",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_aedd4",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_sendasidentity",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SendAsIdentityEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "address",
                    models.CharField(
                        help_text="The address that the mailbox sends as.", max_length=320
                    ),
                ),
                ("key", models.CharField(editable=False, max_length=320)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("verified", "verified"),
                            ("revoked", "revoked"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "granted_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The owner who grants it, where the address does not route to the mailbox.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.mailbox",
                    ),
                ),
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
                        to="tenants.sendasidentity",
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
                            hash="358a8828eabcf2f742c157f0572f2d3e664e5809",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_74203",
                            table="tenants_sendasidentityevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TenantEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "max_domains",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="domains"),
                ),
                (
                    "max_addresses",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="addresses"),
                ),
                (
                    "max_message_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="largest message (octets)"
                    ),
                ),
                (
                    "messages_per_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages per hour"
                    ),
                ),
                (
                    "stored_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="stored octets"
                    ),
                ),
                (
                    "retention_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Days from receipt for which bodies and stored inboxes are kept (what still waits for delivery, longer). Messages and routing records stay at least as long.",
                        null=True,
                        verbose_name="retention (days)",
                    ),
                ),
                (
                    "external_id",
                    models.CharField(
                        help_text="The tenant's id in your own systems.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9._:-]+$", "Use letters, digits, dot, dash, colon, _."
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "active"),
                            ("suspended", "suspended"),
                            ("abuse", "suspended for abuse"),
                            ("closed", "closed"),
                        ],
                        default="active",
                        max_length=16,
                    ),
                ),
                (
                    "state_since",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
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
                        to="tenants.tenant",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.plan",
                    ),
                ),
                (
                    "filters_mail",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether the content filter looks at mail before it is accepted, where this installation has one. An address may choose for itself.",
                        verbose_name="filter content",
                    ),
                ),
                (
                    "on_spam",
                    models.CharField(
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default=gateway.routing.authentication.OnFailure["REJECT"],
                        default=gateway.routing.authentication.OnFailure["REJECT"],
                        help_text="Held mail waits among the deliveries until somebody releases it.",
                        max_length=8,
                        verbose_name="mail that the filter rejects",
                    ),
                ),
                (
                    "on_suspicious",
                    models.CharField(
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default=gateway.routing.authentication.OnFailure["MARK"],
                        default=gateway.routing.authentication.OnFailure["MARK"],
                        help_text="Marked mail carries X-Spam-Flag and what the filter said.",
                        max_length=8,
                        verbose_name="mail that the filter would mark",
                    ),
                ),
                (
                    "on_virus",
                    models.CharField(
                        choices=[("reject", "is rejected"), ("hold", "is held")],
                        db_default=gateway.routing.authentication.OnFailure["REJECT"],
                        default=gateway.routing.authentication.OnFailure["REJECT"],
                        max_length=8,
                        verbose_name="mail with a virus",
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
                            hash="362ddd33837ad2cb285c1e084c8fc25051cb0cd6",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_ac45c",
                            table="tenants_tenantevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Address",
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
                        choices=[("alias", "alias"), ("role", "role address")],
                        default="alias",
                        editable=False,
                        max_length=8,
                    ),
                ),
                (
                    "local_part",
                    models.CharField(help_text="What stands before the @.", max_length=64),
                ),
                ("key", models.CharField(editable=False, max_length=320)),
                (
                    "enabled",
                    models.BooleanField(
                        default=True, help_text="Off refuses the very next message."
                    ),
                ),
                ("purpose", models.CharField(blank=True, max_length=200)),
                ("note", models.TextField(blank=True)),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From this moment the address refuses mail.",
                        null=True,
                    ),
                ),
                (
                    "expired_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="When the address was switched off because its time was over.",
                        null=True,
                    ),
                ),
                (
                    "allowed_senders",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=320),
                        blank=True,
                        default=list,
                        help_text="Who may write here: name@example.com, @example.com or <>; empty means everyone.",
                        size=None,
                    ),
                ),
                (
                    "max_message_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="largest message (octets)"
                    ),
                ),
                (
                    "rate_per_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages per hour"
                    ),
                ),
                (
                    "accepts_forwards_from",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255),
                        blank=True,
                        default=list,
                        help_text="Domains of other tenants whose addresses may forward here.",
                        size=None,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who answers for this address.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "domain",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="addresses",
                        to="tenants.domain",
                    ),
                ),
                (
                    "holder",
                    models.ForeignKey(
                        blank=True,
                        help_text="The mailbox that answers for the role; empty takes the domain's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="roles",
                        to="tenants.mailbox",
                    ),
                ),
                (
                    "authentication",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "nothing"),
                            ("any", "SPF or DKIM, for the author's domain"),
                            ("spf", "SPF, for the author's domain"),
                            ("dkim", "DKIM, for the author's domain"),
                            ("dmarc", "DMARC"),
                            ("signer", "DKIM of one domain"),
                        ],
                        db_default="",
                        default="",
                        help_text="Checked when the whole message is there. Mail that its author's domain wants refused (DMARC reject or quarantine) fails whatever is chosen here but nothing.",
                        max_length=8,
                        verbose_name="senders have to prove",
                    ),
                ),
                (
                    "authentication_failure",
                    models.CharField(
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default="reject",
                        default="reject",
                        help_text="Also for an author who is not on the list. Held mail waits among the deliveries until somebody releases it; marked mail carries X-Sender-Authentication.",
                        max_length=8,
                        verbose_name="mail that fails this",
                    ),
                ),
                (
                    "sender_match",
                    models.CharField(
                        choices=[
                            ("envelope", "the envelope sender"),
                            ("author", "the author (From), with DMARC pass"),
                        ],
                        db_default="envelope",
                        default="envelope",
                        help_text="The envelope sender can be made up by anybody. The author is whom people see as From; it counts only where DMARC proves it.",
                        max_length=8,
                        verbose_name="the list is about",
                    ),
                ),
                (
                    "signing_domain",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The domain whose DKIM signature is wanted, as in d=: example.com.",
                        max_length=255,
                    ),
                ),
                (
                    "filters_mail",
                    models.CharField(
                        blank=True,
                        choices=[("on", "yes"), ("off", "no")],
                        db_default="",
                        default="",
                        help_text="Whether the content filter looks at mail before it is accepted, where this installation has one; empty takes the tenant's choice, here and below.",
                        max_length=3,
                        verbose_name="filter content",
                    ),
                ),
                (
                    "on_spam",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                        verbose_name="mail that the filter rejects",
                    ),
                ),
                (
                    "on_suspicious",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                        verbose_name="mail that the filter would mark",
                    ),
                ),
                (
                    "on_virus",
                    models.CharField(
                        blank=True,
                        choices=[("reject", "is rejected"), ("hold", "is held")],
                        db_default="",
                        default="",
                        max_length=8,
                        verbose_name="mail with a virus",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "addresses",
                "ordering": ("key", "id"),
                "indexes": [
                    models.Index(
                        condition=models.Q(("enabled", True)),
                        fields=["expires_at"],
                        name="address_to_expire",
                    ),
                    models.Index(
                        django.db.models.functions.comparison.Collate("key", "C"),
                        models.F("id"),
                        name="address_by_key",
                    ),
                    models.Index(fields=["kind", "key", "id"], name="address_listed"),
                    models.Index(fields=["domain", "key", "id"], name="address_of_domain"),
                    models.Index(fields=["expires_at", "id"], name="address_expiring"),
                    models.Index(fields=["created_at", "id"], name="address_made"),
                    models.Index(
                        condition=models.Q(("enabled", False)),
                        fields=["key"],
                        name="address_disabled",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("key", "domain"),
                        name="address_once_by_domain",
                        violation_error_code="local_part",
                        violation_error_message="This address exists already on the domain.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind", gateway.routing.facts.AddressKind["ROLE"]),
                            models.Q(
                                ("holder", None),
                                ("kind", gateway.routing.facts.AddressKind["ALIAS"]),
                            ),
                            _connector="OR",
                        ),
                        name="address_holder_is_a_role_s",
                        violation_error_code="holder",
                        violation_error_message="Only a role address has a holder.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("key", ""), _negated=True),
                        name="address_key_set",
                        violation_error_code="local_part",
                        violation_error_message="Write what stands before the @.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("authentication", gateway.routing.authentication.Demand["SIGNER"]),
                            ("signing_domain", ""),
                            _connector="XOR",
                        ),
                        name="address_signer_named",
                        violation_error_code="signing_domain",
                        violation_error_message="Name a signing domain for “DKIM of one domain” alone.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("sender_match", "envelope"),
                            ("allowed_senders__len__gt", 0),
                            _connector="OR",
                        ),
                        name="address_authors_listed",
                        violation_error_code="sender_match",
                        violation_error_message="List the authors who may write.",
                    ),
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_addressevent" ("accepts_forwards_from", "allowed_senders", "authentication", "authentication_failure", "created_at", "domain_id", "enabled", "expired_at", "expires_at", "filters_mail", "holder_id", "id", "key", "kind", "local_part", "max_message_octets", "note", "on_spam", "on_suspicious", "on_virus", "owner_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "purpose", "rate_per_hour", "sender_match", "signing_domain") SELECT new_values."accepts_forwards_from", new_values."allowed_senders", new_values."authentication", new_values."authentication_failure", new_values."created_at", new_values."domain_id", new_values."enabled", new_values."expired_at", new_values."expires_at", new_values."filters_mail", new_values."holder_id", new_values."id", new_values."key", new_values."kind", new_values."local_part", new_values."max_message_octets", new_values."note", new_values."on_spam", new_values."on_suspicious", new_values."on_virus", new_values."owner_id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."purpose", new_values."rate_per_hour", new_values."sender_match", new_values."signing_domain" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="a5040ba93304f24e452fda66ee7e11995d6a40bb",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_fa16e",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_address",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_addressevent" ("accepts_forwards_from", "allowed_senders", "authentication", "authentication_failure", "created_at", "domain_id", "enabled", "expired_at", "expires_at", "filters_mail", "holder_id", "id", "key", "kind", "local_part", "max_message_octets", "note", "on_spam", "on_suspicious", "on_virus", "owner_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "purpose", "rate_per_hour", "sender_match", "signing_domain") SELECT new_values."accepts_forwards_from", new_values."allowed_senders", new_values."authentication", new_values."authentication_failure", new_values."created_at", new_values."domain_id", new_values."enabled", new_values."expired_at", new_values."expires_at", new_values."filters_mail", new_values."holder_id", new_values."id", new_values."key", new_values."kind", new_values."local_part", new_values."max_message_octets", new_values."note", new_values."on_spam", new_values."on_suspicious", new_values."on_virus", new_values."owner_id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."purpose", new_values."rate_per_hour", new_values."sender_match", new_values."signing_domain" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="dbea45de0db1f8ea37a327fa3a77d4b0f76539bb",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_d415b",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_address",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_addressevent" ("accepts_forwards_from", "allowed_senders", "authentication", "authentication_failure", "created_at", "domain_id", "enabled", "expired_at", "expires_at", "filters_mail", "holder_id", "id", "key", "kind", "local_part", "max_message_octets", "note", "on_spam", "on_suspicious", "on_virus", "owner_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "purpose", "rate_per_hour", "sender_match", "signing_domain") SELECT old_values."accepts_forwards_from", old_values."allowed_senders", old_values."authentication", old_values."authentication_failure", old_values."created_at", old_values."domain_id", old_values."enabled", old_values."expired_at", old_values."expires_at", old_values."filters_mail", old_values."holder_id", old_values."id", old_values."key", old_values."kind", old_values."local_part", old_values."max_message_octets", old_values."note", old_values."on_spam", old_values."on_suspicious", old_values."on_virus", old_values."owner_id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."purpose", old_values."rate_per_hour", old_values."sender_match", old_values."signing_domain" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="a7f06b9da009853a42154055798d0c2d0f9a6252",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_3dba2",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_address",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SubaddressRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "detail",
                    models.CharField(
                        blank=True, help_text="What stands after the delimiter.", max_length=63
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("deliver", "deliver"),
                            ("refuse", "refuse"),
                            ("retarget", "retarget"),
                        ],
                        default="refuse",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "address",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rules",
                        to="tenants.address",
                    ),
                ),
            ],
            options={
                "ordering": ("address", "detail"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("address", "detail"),
                        name="subaddress_rule_once",
                        violation_error_code="detail",
                        violation_error_message="The address has a rule for this detail already.",
                    )
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_subaddressruleevent" ("action", "address_id", "created_at", "detail", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."action", new_values."address_id", new_values."created_at", new_values."detail", new_values."id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="072b4613d5c9290aba6306c505be549e0bf4e6c3",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_3b5b8",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_subaddressrule",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_subaddressruleevent" ("action", "address_id", "created_at", "detail", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."action", new_values."address_id", new_values."created_at", new_values."detail", new_values."id", _pgh_attached_context.value, NOW(), \'update\', new_values."id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="4a5357e6ffde40b264f3482a148667094cbe4263",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_dd516",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_subaddressrule",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_subaddressruleevent" ("action", "address_id", "created_at", "detail", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT old_values."action", old_values."address_id", old_values."created_at", old_values."detail", old_values."id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="f84c77dcc6aa101c1d14490474eafdc023e82373",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_99f63",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_subaddressrule",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SubaddressRuleEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "detail",
                    models.CharField(
                        blank=True, help_text="What stands after the delimiter.", max_length=63
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("deliver", "deliver"),
                            ("refuse", "refuse"),
                            ("retarget", "retarget"),
                        ],
                        default="refuse",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "address",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.address",
                    ),
                ),
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
                        to="tenants.subaddressrule",
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
                            hash="89521297e25422ba29bd84e6fa19b938f729287e",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_6129a",
                            table="tenants_subaddressruleevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Target",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "position",
                    models.PositiveSmallIntegerField(default=0, help_text="Lower ones come first."),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=tenants.models.target.kind_choices, default="mailbox", max_length=20
                    ),
                ),
                ("forward_to", models.CharField(blank=True, max_length=320)),
                (
                    "forward_key",
                    models.CharField(blank=True, db_index=True, editable=False, max_length=320),
                ),
                ("options", models.JSONField(blank=True, default=dict, editable=False)),
                (
                    "address",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="targets",
                        to="tenants.address",
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="targets",
                        to="tenants.mailbox",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="targets",
                        to="tenants.subaddressrule",
                    ),
                ),
            ],
            options={
                "ordering": ("position", "id"),
                "indexes": [models.Index(fields=["kind", "address"], name="target_of_kind")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("address", None), ("rule__isnull", False)),
                            models.Q(("address__isnull", False), ("rule", None)),
                            _connector="OR",
                        ),
                        name="target_of_one_parent",
                        violation_error_code="address",
                        violation_error_message="A target belongs to an address or to a subaddress rule.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "mailbox"), _negated=True),
                            ("mailbox__isnull", False),
                            _connector="OR",
                        ),
                        name="target_mailbox_set",
                        violation_error_code="mailbox",
                        violation_error_message="Choose the mailbox that this target delivers to.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "forward"), _negated=True),
                            models.Q(("forward_key", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="target_forward_set",
                        violation_error_code="forward_to",
                        violation_error_message="Write the address that this target forwards to.",
                    ),
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_targetevent" ("address_id", "forward_key", "forward_to", "id", "kind", "mailbox_id", "options", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "rule_id") SELECT new_values."address_id", new_values."forward_key", new_values."forward_to", new_values."id", new_values."kind", new_values."mailbox_id", new_values."options", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."position", new_values."rule_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="16ad145ece2648d8e4f76002b7522eb4ba53962a",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_d0c7e",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_target",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_targetevent" ("address_id", "forward_key", "forward_to", "id", "kind", "mailbox_id", "options", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "rule_id") SELECT new_values."address_id", new_values."forward_key", new_values."forward_to", new_values."id", new_values."kind", new_values."mailbox_id", new_values."options", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."position", new_values."rule_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="5fc8393f3a74f32bc414e3ea15a2dd3ac56cdb67",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_87f78",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_target",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_targetevent" ("address_id", "forward_key", "forward_to", "id", "kind", "mailbox_id", "options", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "rule_id") SELECT old_values."address_id", old_values."forward_key", old_values."forward_to", old_values."id", old_values."kind", old_values."mailbox_id", old_values."options", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."position", old_values."rule_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="7d50662f8ca8e392f51ea3ae8078ef2502b28246",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_339a9",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_target",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TargetEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "position",
                    models.PositiveSmallIntegerField(default=0, help_text="Lower ones come first."),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=tenants.models.target.kind_choices, default="mailbox", max_length=20
                    ),
                ),
                ("forward_to", models.CharField(blank=True, max_length=320)),
                ("forward_key", models.CharField(blank=True, editable=False, max_length=320)),
                ("options", models.JSONField(blank=True, default=dict, editable=False)),
                (
                    "address",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.address",
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.mailbox",
                    ),
                ),
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
                        to="tenants.target",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.subaddressrule",
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
                            hash="962a72cafc60ad5352ffd7c28d15c9ca28ec56d3",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_e259d",
                            table="tenants_targetevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Alias",
            fields=[],
            options={
                "verbose_name_plural": "aliases",
                "proxy": True,
            },
            bases=("tenants.address",),
        ),
        migrations.CreateModel(
            name="RoleAddress",
            fields=[],
            options={
                "verbose_name_plural": "role addresses",
                "proxy": True,
            },
            bases=("tenants.address",),
        ),
        migrations.CreateModel(
            name="DomainCheck",
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
                            ("ownership", "ownership TXT"),
                            ("mx", "MX"),
                            ("spf", "SPF"),
                            ("dkim", "DKIM"),
                            ("dmarc", "DMARC"),
                            ("mta-sts", "MTA-STS"),
                            ("tls-rpt", "TLS-RPT"),
                        ],
                        max_length=16,
                    ),
                ),
                ("record_name", models.CharField(max_length=255)),
                ("record_type", models.CharField(max_length=10)),
                ("expected", models.TextField(blank=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("present", "present"),
                            ("absent", "absent"),
                            ("wrong", "wrong"),
                            ("unknown", "unknown"),
                        ],
                        default="unknown",
                        max_length=16,
                    ),
                ),
                (
                    "found",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                ("evidence", models.JSONField(blank=True, default=list)),
                ("advice", models.TextField(blank=True)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "times_in_row",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Checks that found the standing state, one after the other.",
                    ),
                ),
                (
                    "standing",
                    models.CharField(
                        choices=[
                            ("present", "present"),
                            ("absent", "absent"),
                            ("wrong", "wrong"),
                            ("unknown", "unknown"),
                        ],
                        default="unknown",
                        editable=False,
                        help_text="The last state that was not unknown; since and times in row are about it.",
                        max_length=16,
                    ),
                ),
                (
                    "unknown_times",
                    models.PositiveIntegerField(
                        default=0, help_text="Checks since then that could not tell."
                    ),
                ),
                (
                    "domain",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="checks",
                        to="tenants.domain",
                    ),
                ),
                (
                    "note",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What was found out beside, and asks for nothing to be done.",
                    ),
                ),
            ],
            options={
                "ordering": ("domain", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("domain", "kind", "record_name"),
                        name="domain_check_once",
                        violation_error_code="kind",
                        violation_error_message="The domain has a check of this record already.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AddressEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("alias", "alias"), ("role", "role address")],
                        default="alias",
                        editable=False,
                        max_length=8,
                    ),
                ),
                (
                    "local_part",
                    models.CharField(help_text="What stands before the @.", max_length=64),
                ),
                ("key", models.CharField(editable=False, max_length=320)),
                (
                    "enabled",
                    models.BooleanField(
                        default=True, help_text="Off refuses the very next message."
                    ),
                ),
                ("purpose", models.CharField(blank=True, max_length=200)),
                ("note", models.TextField(blank=True)),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From this moment the address refuses mail.",
                        null=True,
                    ),
                ),
                (
                    "expired_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="When the address was switched off because its time was over.",
                        null=True,
                    ),
                ),
                (
                    "allowed_senders",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=320),
                        blank=True,
                        default=list,
                        help_text="Who may write here: name@example.com, @example.com or <>; empty means everyone.",
                        size=None,
                    ),
                ),
                (
                    "max_message_octets",
                    models.PositiveBigIntegerField(
                        blank=True, null=True, verbose_name="largest message (octets)"
                    ),
                ),
                (
                    "rate_per_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages per hour"
                    ),
                ),
                (
                    "accepts_forwards_from",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255),
                        blank=True,
                        default=list,
                        help_text="Domains of other tenants whose addresses may forward here.",
                        size=None,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Who answers for this address.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
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
                        to="tenants.address",
                    ),
                ),
                (
                    "domain",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.domain",
                    ),
                ),
                (
                    "holder",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The mailbox that answers for the role; empty takes the domain's.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.mailbox",
                    ),
                ),
                (
                    "authentication",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "nothing"),
                            ("any", "SPF or DKIM, for the author's domain"),
                            ("spf", "SPF, for the author's domain"),
                            ("dkim", "DKIM, for the author's domain"),
                            ("dmarc", "DMARC"),
                            ("signer", "DKIM of one domain"),
                        ],
                        db_default="",
                        default="",
                        help_text="Checked when the whole message is there. Mail that its author's domain wants refused (DMARC reject or quarantine) fails whatever is chosen here but nothing.",
                        max_length=8,
                        verbose_name="senders have to prove",
                    ),
                ),
                (
                    "authentication_failure",
                    models.CharField(
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default="reject",
                        default="reject",
                        help_text="Also for an author who is not on the list. Held mail waits among the deliveries until somebody releases it; marked mail carries X-Sender-Authentication.",
                        max_length=8,
                        verbose_name="mail that fails this",
                    ),
                ),
                (
                    "sender_match",
                    models.CharField(
                        choices=[
                            ("envelope", "the envelope sender"),
                            ("author", "the author (From), with DMARC pass"),
                        ],
                        db_default="envelope",
                        default="envelope",
                        help_text="The envelope sender can be made up by anybody. The author is whom people see as From; it counts only where DMARC proves it.",
                        max_length=8,
                        verbose_name="the list is about",
                    ),
                ),
                (
                    "signing_domain",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The domain whose DKIM signature is wanted, as in d=: example.com.",
                        max_length=255,
                    ),
                ),
                (
                    "filters_mail",
                    models.CharField(
                        blank=True,
                        choices=[("on", "yes"), ("off", "no")],
                        db_default="",
                        default="",
                        help_text="Whether the content filter looks at mail before it is accepted, where this installation has one; empty takes the tenant's choice, here and below.",
                        max_length=3,
                        verbose_name="filter content",
                    ),
                ),
                (
                    "on_spam",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                        verbose_name="mail that the filter rejects",
                    ),
                ),
                (
                    "on_suspicious",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("reject", "is rejected"),
                            ("hold", "is held"),
                            ("mark", "is delivered with a mark"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                        verbose_name="mail that the filter would mark",
                    ),
                ),
                (
                    "on_virus",
                    models.CharField(
                        blank=True,
                        choices=[("reject", "is rejected"), ("hold", "is held")],
                        db_default="",
                        default="",
                        max_length=8,
                        verbose_name="mail with a virus",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "indexes": [
                    models.Index(
                        models.F("pgh_label"),
                        django.db.models.functions.comparison.Collate("key", "C"),
                        name="address_event_by_key",
                    )
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="append_only",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                            hash="cbba15c29e46d8bde657e9ab1ca738ddd0bca519",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_7ba02",
                            table="tenants_addressevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("owner", "owner"),
                            ("admin", "admin"),
                            ("editor", "editor"),
                            ("viewer", "viewer"),
                        ],
                        default="viewer",
                        max_length=16,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ("tenant", "user"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "user"),
                        name="membership_once",
                        violation_error_code="user",
                        violation_error_message="This user is a member of the tenant already.",
                    )
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_membershipevent" ("id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "role", "tenant_id", "user_id") SELECT new_values."id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."role", new_values."tenant_id", new_values."user_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="39cde5158e47e6f18f2ebe2381d8472d416404b1",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_65f0e",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_membership",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_membershipevent" ("id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "role", "tenant_id", "user_id") SELECT new_values."id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."role", new_values."tenant_id", new_values."user_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="0809872ef07a3e34f6246423ef1fe03876c37b04",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_38ec7",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_membership",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_membershipevent" ("id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "role", "tenant_id", "user_id") SELECT old_values."id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."role", old_values."tenant_id", old_values."user_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="c63e09d3bb4cb9c7bcb78a6dd360073bac6bb6e5",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_efc03",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_membership",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MembershipEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("owner", "owner"),
                            ("admin", "admin"),
                            ("editor", "editor"),
                            ("viewer", "viewer"),
                        ],
                        default="viewer",
                        max_length=16,
                    ),
                ),
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
                        to="tenants.membership",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
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
                            hash="ebc4220487ad8e722ff3decd26f74b5803020496",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_bd3f0",
                            table="tenants_membershipevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MailboxEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "address",
                    models.CharField(
                        help_text="The recipient that the next hop is given, as name@example.com.",
                        max_length=320,
                    ),
                ),
                ("key", models.CharField(editable=False, max_length=320)),
                ("name", models.CharField(blank=True, max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[("person", "person"), ("team", "team")],
                        default="person",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
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
                        to="tenants.mailbox",
                    ),
                ),
                (
                    "next_hop",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
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
                            hash="5e6d520421b92561dbf6af1534591b4bd1e18af6",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_492ff",
                            table="tenants_mailboxevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DomainEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "name",
                    models.CharField(
                        help_text="Stored as A-label: bücher.example is xn--bcher-kva.example.",
                        max_length=255,
                        verbose_name="domain",
                    ),
                ),
                (
                    "u_label",
                    models.CharField(
                        blank=True, editable=False, max_length=255, verbose_name="as people read it"
                    ),
                ),
                (
                    "environment",
                    models.CharField(
                        default="production",
                        help_text="Domains of different environments never forward to each other.",
                        max_length=40,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9-]+$", "Use lower-case letters, digits and dashes."
                            )
                        ],
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("active", "active"),
                            ("degraded", "degraded"),
                            ("released", "released"),
                        ],
                        default="pending",
                        editable=False,
                        max_length=16,
                    ),
                ),
                (
                    "state_since",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "verified_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="When DNS first proved the claim.",
                        null=True,
                    ),
                ),
                (
                    "token",
                    models.CharField(
                        default=tenants.models.domain.new_token, editable=False, max_length=64
                    ),
                ),
                (
                    "delimiters",
                    models.CharField(
                        blank=True,
                        default="+",
                        help_text="The first of these characters splits name+detail; empty turns subaddresses off.",
                        max_length=4,
                        validators=[tenants.models.domain.validate_delimiters],
                        verbose_name="subaddress delimiters",
                    ),
                ),
                (
                    "local_part_pattern",
                    models.CharField(
                        blank=True,
                        help_text="RE2 pattern for the whole local part, lower case; empty allows all.",
                        max_length=200,
                        validators=[tenants.models.fields.validate_pattern],
                        verbose_name="allowed local parts",
                    ),
                ),
                (
                    "local_part_max_octets",
                    models.PositiveSmallIntegerField(
                        blank=True, null=True, verbose_name="longest local part (octets)"
                    ),
                ),
                (
                    "hides_disabled",
                    models.BooleanField(
                        default=False,
                        help_text="Disabled and expired addresses answer as if they never existed.",
                        verbose_name="disabled looks unknown",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
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
                        to="tenants.domain",
                    ),
                ),
                (
                    "default_role_holder",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Gets postmaster@ and abuse@ where no row says otherwise; empty stores them.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.mailbox",
                    ),
                ),
                (
                    "smarthost",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The relay for this domain's forwards; empty takes the installation's.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
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
                            hash="e189900686d098caee1ab9b959e75a17898e16ae",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_a34c8",
                            table="tenants_domainevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NextHopEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                ("name", models.CharField(max_length=100)),
                (
                    "protocol",
                    models.CharField(
                        choices=[("smtp", "SMTP"), ("lmtp", "LMTP")], default="smtp", max_length=8
                    ),
                ),
                ("host", models.CharField(max_length=255)),
                (
                    "port",
                    models.PositiveIntegerField(
                        default=25,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(65535),
                        ],
                    ),
                ),
                (
                    "tls",
                    models.CharField(
                        choices=[
                            ("none", "none"),
                            ("opportunistic", "STARTTLS when offered"),
                            ("required", "STARTTLS required"),
                            ("implicit", "TLS from the start"),
                        ],
                        default="opportunistic",
                        max_length=16,
                    ),
                ),
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
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "calls_ahead",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Before the gateway accepts mail for a mailbox here, it asks this server whether it takes mail for that mailbox, and refuses the recipient where the server says that it does not. Mail is accepted as usual while the server does not answer. Only for servers that refuse unknown recipients themselves.",
                        verbose_name="asked about each recipient",
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
                            hash="866affd261e8ec94a436601469fa0828bea90d92",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_cbfe0",
                            table="tenants_nexthopevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("title", models.CharField(max_length=200)),
                (
                    "parameters",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                    ),
                ),
                (
                    "phase",
                    models.CharField(
                        choices=[("check", "check"), ("apply", "apply")],
                        default="check",
                        max_length=8,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "draft"),
                            ("queued", "queued"),
                            ("running", "running"),
                            ("ready", "ready to start"),
                            ("done", "done"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                        ],
                        default="draft",
                        max_length=12,
                    ),
                ),
                ("actor_name", models.CharField(blank=True, max_length=150)),
                ("surface", models.CharField(max_length=16)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("client", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "permission",
                    models.CharField(
                        help_text="What a user needs to start, cancel and undo it.", max_length=100
                    ),
                ),
                ("total", models.PositiveIntegerField(default=0)),
                (
                    "handled",
                    models.PositiveIntegerField(default=0, help_text="Rows of this phase so far."),
                ),
                ("changed", models.PositiveIntegerField(default=0)),
                ("unchanged", models.PositiveIntegerField(default=0)),
                ("refused", models.PositiveIntegerField(default=0)),
                (
                    "cursor",
                    models.PositiveBigIntegerField(default=0, help_text="The last item handled."),
                ),
                (
                    "result",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("fence", models.PositiveIntegerField(default=0)),
                (
                    "crashes",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Workers that ended since the last row was handled."
                    ),
                ),
                (
                    "undoes",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="undone_by",
                        to="tenants.job",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked for by",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ("queued", "running"))),
                        fields=["id"],
                        name="job_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="JobItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(blank=True, max_length=60)),
                ("row_pk", models.BigIntegerField(blank=True, null=True)),
                ("label", models.CharField(blank=True, max_length=320)),
                (
                    "payload",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                    ),
                ),
                (
                    "forecast",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("changed", "changed"),
                            ("unchanged", "is so already"),
                            ("refused", "refused"),
                        ],
                        max_length=9,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("changed", "changed"),
                            ("unchanged", "is so already"),
                            ("refused", "refused"),
                        ],
                        max_length=9,
                    ),
                ),
                (
                    "note",
                    models.TextField(
                        blank=True, help_text="Why it is refused, or what there is to say."
                    ),
                ),
                ("touched", models.JSONField(blank=True, default=list)),
                ("context", models.UUIDField(blank=True, null=True)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="tenants.job",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "indexes": [
                    models.Index(fields=["job", "id"], name="job_item_order"),
                    models.Index(
                        condition=models.Q(("outcome", "refused")),
                        fields=["job", "id"],
                        name="job_item_refused",
                    ),
                    models.Index(
                        condition=models.Q(("forecast", "refused")),
                        fields=["job", "id"],
                        name="job_item_foretold",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccountGroup",
            fields=[],
            options={
                "verbose_name": "membership of group",
                "proxy": True,
                "default_permissions": (),
            },
            bases=("auth.user_groups",),
        ),
        migrations.CreateModel(
            name="Account",
            fields=[],
            options={
                "verbose_name": "user",
                "proxy": True,
                "default_permissions": (),
            },
            bases=("auth.user",),
            managers=[
                ("objects", django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name="AccountEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                (
                    "username",
                    models.CharField(
                        error_messages={"unique": "A user with that username already exists."},
                        help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
                        max_length=150,
                        validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                        verbose_name="username",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
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
                        related_name="username_is_active_is_staff_is_superuser_events",
                        to="tenants.account",
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
                            hash="cb828e591037a2f9178bbe9e59250db5bb007962",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_f4fdc",
                            table="tenants_accountevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AccountGroupEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.IntegerField()),
                (
                    "group",
                    models.ForeignKey(
                        db_constraint=False,
                        db_tablespace="",
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="auth.group",
                    ),
                ),
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
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_tablespace="",
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="tenants.accountgroup",
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
                            hash="0eb487393055c88884920f14853c51c8b364fbe3",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_5c6f8",
                            table="tenants_accountgroupevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Source",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "product",
                    models.CharField(
                        choices=[
                            ("postfixadmin", "PostfixAdmin"),
                            ("mailcow", "mailcow"),
                            ("modoboa", "Modoboa"),
                            ("maps", "Postfix maps"),
                        ],
                        max_length=16,
                    ),
                ),
                ("name", models.CharField(max_length=200, verbose_name="read from")),
                (
                    "domains",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255),
                        blank=True,
                        default=list,
                        help_text="What is about these domains alone; empty takes all of them.",
                        size=None,
                    ),
                ),
                ("counts", models.JSONField(default=dict, editable=False)),
                ("inventory", models.BinaryField()),
                ("read_at", models.DateTimeField(auto_now_add=True)),
                (
                    "next_hop",
                    models.ForeignKey(
                        help_text="The server that holds the mailboxes; a domain may name one of its own.",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.nexthop",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Export",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("actor_name", models.CharField(max_length=150, verbose_name="taken by")),
                ("surface", models.CharField(max_length=16)),
                ("client", models.CharField(blank=True, max_length=64)),
                (
                    "what",
                    models.CharField(
                        help_text="Kinds of row and the filter over them.", max_length=500
                    ),
                ),
                ("written", models.CharField(max_length=16, verbose_name="format")),
                ("rows", models.PositiveBigIntegerField(default=0)),
                ("at", models.DateTimeField(auto_now_add=True, verbose_name="begun")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="taken by",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "listed",
                    models.CharField(
                        editable=False,
                        help_text="As in tenants.alias.",
                        max_length=100,
                        verbose_name="list",
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                (
                    "query",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=2000,
                        verbose_name="filters and order",
                    ),
                ),
                (
                    "is_shared",
                    models.BooleanField(default=False, verbose_name="shared with all staff"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "author",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("author", "listed", "name"),
                        name="saved_view_named_once",
                        violation_error_code="name",
                        violation_error_message="You have a view of this name for the list already.",
                    )
                ],
                "triggers": [
                    pgtrigger.compiler.Trigger(
                        name="insert_insert",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_savedviewevent" ("author_id", "created_at", "id", "is_shared", "listed", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "query") SELECT new_values."author_id", new_values."created_at", new_values."id", new_values."is_shared", new_values."listed", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."query" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="5e0922bf4ffb5b4b73b8e297db6ff6fe6a7d3f48",
                            level="STATEMENT",
                            operation="INSERT",
                            pgid="pgtrigger_insert_insert_e0fad",
                            referencing="REFERENCING NEW TABLE AS new_values ",
                            table="tenants_savedview",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_savedviewevent" ("author_id", "created_at", "id", "is_shared", "listed", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "query") SELECT new_values."author_id", new_values."created_at", new_values."id", new_values."is_shared", new_values."listed", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."query" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                            hash="2c36f20d19fa4397344d62d48e0ce2000d80b13c",
                            level="STATEMENT",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_36b5a",
                            referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                            table="tenants_savedview",
                            when="AFTER",
                        ),
                    ),
                    pgtrigger.compiler.Trigger(
                        name="delete_delete",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_savedviewevent" ("author_id", "created_at", "id", "is_shared", "listed", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "query") SELECT old_values."author_id", old_values."created_at", old_values."id", old_values."is_shared", old_values."listed", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."query" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                            hash="14228571526becb838e62d6b1b82ed6cb357ba59",
                            level="STATEMENT",
                            operation="DELETE",
                            pgid="pgtrigger_delete_delete_e2ddc",
                            referencing="REFERENCING OLD TABLE AS old_values ",
                            table="tenants_savedview",
                            when="AFTER",
                        ),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SavedViewEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                (
                    "listed",
                    models.CharField(
                        editable=False,
                        help_text="As in tenants.alias.",
                        max_length=100,
                        verbose_name="list",
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                (
                    "query",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=2000,
                        verbose_name="filters and order",
                    ),
                ),
                (
                    "is_shared",
                    models.BooleanField(default=False, verbose_name="shared with all staff"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "author",
                    models.ForeignKey(
                        db_constraint=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
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
                        to="tenants.savedview",
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
                            hash="e02fc8f082088fcd2fb6103ecbe97aff4c5cedff",
                            operation="UPDATE OR DELETE",
                            pgid="pgtrigger_append_only_f2289",
                            table="tenants_savedviewevent",
                            when="BEFORE",
                        ),
                    )
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="accountgroup",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_accountgroupevent" ("group_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "user_id") SELECT new_values."group_id", new_values."id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."user_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="3e85da48fc1c85cc4f637fbdc698ab041b81812f",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_a1e87",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="auth_user_groups",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="accountgroup",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_accountgroupevent" ("group_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "user_id") SELECT new_values."group_id", new_values."id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."user_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="e076b8cae7b261c816e2687e06ebe5bf83c44060",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_86fdf",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="auth_user_groups",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="accountgroup",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_accountgroupevent" ("group_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "user_id") SELECT old_values."group_id", old_values."id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."user_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                    hash="9143aa5d867017e44c7250493711b860308c8faf",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_a938a",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="auth_user_groups",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="account",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_accountevent" ("is_active", "is_staff", "is_superuser", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "username") SELECT new_values."is_active", new_values."is_staff", new_values."is_superuser", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."username" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="6fd65482b9de28ffa74defa94f19567d30f38ae1",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_f6bb6",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="auth_user",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="account",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_accountevent" ("is_active", "is_staff", "is_superuser", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "username") SELECT new_values."is_active", new_values."is_staff", new_values."is_superuser", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."username" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."is_active" IS DISTINCT FROM (new_values."is_active") OR old_values."is_staff" IS DISTINCT FROM (new_values."is_staff") OR old_values."is_superuser" IS DISTINCT FROM (new_values."is_superuser") OR old_values."username" IS DISTINCT FROM (new_values."username")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="45d292ddcffa7d61001b772d4ca4037c18dea9ee",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_cf07d",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="auth_user",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="account",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "tenants_accountevent" ("is_active", "is_staff", "is_superuser", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "username") SELECT old_values."is_active", old_values."is_staff", old_values."is_superuser", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."username" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                    hash="67dd5645f92707227c72e37a5e0a57276e8703c0",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_733dc",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="auth_user",
                    when="AFTER",
                ),
            ),
        ),
    ]
