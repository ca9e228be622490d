from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0003_open_tasks_begin_again")]

    operations = [
        migrations.AddField(
            model_name="synctask",
            name="quick",
            field=models.BooleanField(
                default=False,
                help_text="Trusts what the rule verified in the target within a day.",
                verbose_name="quick check",
            ),
        ),
    ]
