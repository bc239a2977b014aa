"""Answers of any form are kept: empty TXT records, and names as long as DNS takes."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0001_squashed_0013_list_indexes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='domaincheck',
            name='found',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(blank=True), blank=True, default=list, size=None),
        ),
        migrations.AlterField(
            model_name='domaincheck',
            name='record_name',
            field=models.CharField(max_length=520),
        ),
    ]
