"""Due deliveries by lane, so that a backlog for one next hop is stepped over, not read through.

The expression is the one in gateway/delivery/queue.py, to the letter.
"""

from django.db import migrations

CREATE = """
CREATE INDEX delivery_lane ON gateway_delivery
    ((kind || ':' || coalesce(hop_id, 0)::text), next_attempt_at)
WHERE state IN ('pending', 'deferred')
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0002_body")]

    operations = [
        migrations.RemoveIndex(model_name="delivery", name="delivery_due"),
        migrations.RunSQL(CREATE, "DROP INDEX delivery_lane"),
    ]
