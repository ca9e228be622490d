from django.apps import AppConfig


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = "Instance synchronization"

    def ready(self) -> None:
        from sync import checks  # noqa: F401  # registers them; models are loaded only now
