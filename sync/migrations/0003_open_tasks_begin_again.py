"""Tasks that were open under the earlier division of work are planned anew."""

from django.db import migrations


def begin_again(apps, schema_editor):
    task, part = apps.get_model("sync", "SyncTask"), apps.get_model("sync", "TaskPart")
    still_open = task.objects.filter(status__in=["waiting", "synchronizing"])
    apps.get_model("sync", "TaskRepository").objects.filter(task__in=still_open).delete()
    counts = "planned copied unchanged conflict superseded failed removed moved_bytes".split()
    still_open.update(repository_count=None, all_planned=False, **dict.fromkeys(counts, 0))
    part.objects.bulk_create(part(task=one) for one in still_open)


class Migration(migrations.Migration):
    dependencies = [("sync", "0002_many_workers")]

    operations = [migrations.RunPython(begin_again, migrations.RunPython.noop)]
