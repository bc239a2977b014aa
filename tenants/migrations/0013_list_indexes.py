"""What the lists of addresses are sorted and narrowed by, made beside running gateways."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0012_saved_view")]

    operations = [
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(fields=['kind', 'key', 'id'], name='address_listed'),
        ),
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(fields=['domain', 'key', 'id'], name='address_of_domain'),
        ),
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(fields=['expires_at', 'id'], name='address_expiring'),
        ),
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(fields=['created_at', 'id'], name='address_made'),
        ),
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(condition=models.Q(('enabled', False)), fields=['key'], name='address_disabled'),
        ),
        AddIndexConcurrently(
            model_name='target',
            index=models.Index(fields=['kind', 'address'], name='target_of_kind'),
        ),
    ]
