"""Messages whose body is due, and those whose records may leave: an index each, without the rest.

Made beside running gateways, which go on writing meanwhile.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0004_intervention")]

    operations = [
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                fields=["body_expires_on"], condition=Q(purged_at=None), name="message_body_due"
            ),
        ),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                fields=["received_at"], condition=~Q(purged_at=None), name="message_purged"
            ),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_body_day"),
    ]
