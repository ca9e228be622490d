"""Rules that a platform administrator saved stand on that administrator's rights from now on, not on the platform's own."""

from django.db import migrations


def stand_on_their_owner(apps, schema_editor):
    apps.get_model("sync", "SyncRule").objects.filter(by_platform=True, owner__isnull=False).update(by_platform=False)


class Migration(migrations.Migration):

    dependencies = [
        ("sync", "0021_private_addresses"),
    ]

    operations = [
        migrations.RunPython(stand_on_their_owner, migrations.RunPython.noop),
    ]
