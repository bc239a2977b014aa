"""Owners of domains get notices beside recipients of alarms."""

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0015_forewarnings'),
        ('watch', '0003_sealed_addresses'),
    ]

    operations = [
        migrations.AddField(
            model_name='notice',
            name='forewarning',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.forewarning'),
        ),
        migrations.AddField(
            model_name='notice',
            name='mailbox',
            field=models.EmailField(db_default='', default='', max_length=254),
        ),
        migrations.AlterField(
            model_name='notice',
            name='recipient',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='watch.alarmrecipient'),
        ),
        AddConstraintNotValid(
            model_name='notice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('forewarning', None), ('recipient__isnull', False)), models.Q(('forewarning__isnull', False), ('recipient', None)), _connector='OR'), name='notice_for_one'),
        ),
    ]
