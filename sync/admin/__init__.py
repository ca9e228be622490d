"""For support staff: they see what their roles let them see. Instances and what tasks did are read-only."""

from sync.admin import nouns, people, records

__all__ = ["nouns", "people", "records"]
