"""For support staff: they see what their roles let them see. Instances and what tasks did are read-only."""

from sync.admin import nouns, records

__all__ = ["nouns", "records"]
