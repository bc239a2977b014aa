"""Addresses of webhooks stand encrypted from here on, in the history too."""

import gateway.watch.places
from django.db import migrations
from gateway.watch.places import reseal, unseal_all

TABLES = ("watch_alarmrecipient", "watch_alarmrecipientevent")


class Migration(migrations.Migration):

    dependencies = [
        ('watch', '0002_alarm_told_severity'),
    ]

    operations = [
        migrations.AlterField(
            model_name='alarmrecipient',
            name='address',
            field=gateway.watch.places.PlaceField(help_text='name@example.com for mail, https://example.com/hook for a webhook.', max_length=500),
        ),
        migrations.AlterField(
            model_name='alarmrecipientevent',
            name='address',
            field=gateway.watch.places.PlaceField(help_text='name@example.com for mail, https://example.com/hook for a webhook.', max_length=500),
        ),
        migrations.RunPython(lambda *_: reseal(*TABLES), lambda *_: unseal_all(*TABLES)),
    ]
