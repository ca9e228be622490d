"""Addresses of webhooks, which may hold tokens, are encrypted; deliveries keep scheme and host of them alone."""

import sync.models.sealed
from django.db import migrations, models

from sync.credentials import decrypt, encrypt
from sync.models.webhook import shown_place


def seal(apps, schema_editor):
    rules = apps.get_model("sync", "SyncRule").objects
    for pk, url in rules.exclude(webhook_url="").values_list("pk", "webhook_url"):
        rules.filter(pk=pk).update(webhook_url=encrypt(url))
    announcements = apps.get_model("sync", "Announcement").objects
    for url in announcements.order_by().values_list("url", flat=True).distinct():
        announcements.filter(url=url).update(url=shown_place(url))


def unseal(apps, schema_editor):
    rules = apps.get_model("sync", "SyncRule").objects
    for pk, token in rules.exclude(webhook_url="").values_list("pk", "webhook_url"):
        rules.filter(pk=pk).update(webhook_url=decrypt(token))


class Migration(migrations.Migration):

    dependencies = [
        ("sync", "0022_rules_of_administrators"),
    ]

    operations = [
        migrations.AlterField(
            model_name="syncrule",
            name="webhook_url",
            field=models.TextField("webhook", blank=True),
        ),
        migrations.RunPython(seal, unseal),
        migrations.AlterField(
            model_name="syncrule",
            name="webhook_url",
            field=sync.models.sealed.SealedField(blank=True, help_text="Told by a signed POST when a task ends. Blank: nobody is.", max_length=500, verbose_name="webhook"),
        ),
    ]
