"""References among the rows of one message are no longer checked by the database, row by row.

Each constraint goes in a transaction of its own, so that gateways wait for it the shortest time.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("gateway", "0010_dsn"),
    ]

    operations = [
        migrations.AlterField(
            model_name="attempt",
            name="delivery",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempts",
                to="gateway.delivery",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="message",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="gateway.message",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="record",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="gateway.routingrecord",
            ),
        ),
        migrations.AlterField(
            model_name="routingrecord",
            name="message",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="records",
                to="gateway.message",
            ),
        ),
    ]
