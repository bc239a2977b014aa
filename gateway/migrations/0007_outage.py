"""Next hops that are out, and what is pending by lane and tenant, what is deferred by time.

The expressions are those in gateway/delivery/queue.py, to the letter. Indexes are made beside
running gateways, which go on writing meanwhile.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

PENDING = """
CREATE INDEX CONCURRENTLY delivery_pending ON gateway_delivery
    ((kind || ':' || coalesce(hop_id, 0)::text), (coalesce(tenant_id, 0)), next_attempt_at)
WHERE state = 'pending'
"""
LANE = """
CREATE INDEX CONCURRENTLY delivery_lane ON gateway_delivery
    ((kind || ':' || coalesce(hop_id, 0)::text), next_attempt_at)
WHERE state IN ('pending', 'deferred')
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0006_delivery_mark")]

    operations = [
        migrations.CreateModel(
            name="Outage",
            fields=[
                (
                    "lane",
                    models.CharField(max_length=50, primary_key=True, serialize=False),
                ),
                ("since", models.DateTimeField()),
                ("failures", models.PositiveIntegerField(default=1)),
                ("until", models.DateTimeField()),
                ("place", models.CharField(max_length=300)),
                ("reply", models.TextField(blank=True)),
            ],
            options={"ordering": ("since",)},
        ),
        migrations.RunSQL(PENDING, "DROP INDEX CONCURRENTLY delivery_pending"),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                fields=["next_attempt_at"], condition=Q(state="deferred"), name="delivery_deferred"
            ),
        ),
        migrations.RunSQL("DROP INDEX CONCURRENTLY delivery_lane", LANE),
    ]
