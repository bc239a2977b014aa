"""What a tenant's page counts of its addresses, made beside running gateways."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0015_forewarnings")]

    operations = [
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(condition=models.Q(('enabled', False)), fields=['domain', 'kind', 'expired_at', 'id'], name='address_off_of_domain'),
        ),
        AddIndexConcurrently(
            model_name='address',
            index=models.Index(condition=models.Q(('expires_at__isnull', False)), fields=['domain', 'kind', 'expires_at', 'id'], name='address_ending_of_domain'),
        ),
    ]
