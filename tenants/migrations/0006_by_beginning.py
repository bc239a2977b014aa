"""Addresses, deleted ones too, mailboxes, domains and tenants are found by how they begin.

Whatever order the database sorts text in, these indexes are in that of code points. They are made
beside running gateways.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Collate, Lower


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0005_content_filter")]

    operations = [
        AddIndexConcurrently(
            model_name="address",
            index=models.Index(Collate("key", "C"), models.F("id"), name="address_by_key"),
        ),
        AddIndexConcurrently(
            model_name="addressevent",
            index=models.Index(
                models.F("pgh_label"), Collate("key", "C"), name="address_event_by_key"
            ),
        ),
        AddIndexConcurrently(
            model_name="domain",
            index=models.Index(Collate("name", "C"), models.F("id"), name="domain_by_name"),
        ),
        AddIndexConcurrently(
            model_name="mailbox",
            index=models.Index(Collate("key", "C"), models.F("id"), name="mailbox_by_key"),
        ),
        AddIndexConcurrently(
            model_name="tenant",
            index=models.Index(Collate(Lower("name"), "C"), models.F("id"), name="tenant_by_name"),
        ),
    ]
