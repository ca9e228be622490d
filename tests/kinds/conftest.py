from tests.registries import judge, namespace, quick_backoff, source, target

__all__ = ["judge", "namespace", "quick_backoff", "source", "target"]
