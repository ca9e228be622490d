from django.apps import AppConfig


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = "Instance synchronization"

    def ready(self) -> None:
        # They register themselves; models are loaded only now.
        from sync import checks  # noqa: F401
        from sync.services import audit, preferences  # noqa: F401
