"""An export says whose rows it is of, where that is one tenant."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0016_counted_addresses'),
    ]

    operations = [
        migrations.AddField(
            model_name='export',
            name='tenant',
            field=models.ForeignKey(blank=True, help_text='Whose rows were asked for, where that is one tenant.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.tenant'),
        ),
    ]
