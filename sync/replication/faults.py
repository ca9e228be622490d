"""Faults of our own."""

import logging

from sync.oci.errors import OciError

log = logging.getLogger(__name__)


def failure(error: Exception, operation: str) -> OciError:
    """A fault in our own code fails the one resource it concerns, never the others, and is logged whole."""
    if isinstance(error, OciError):
        return error
    log.exception("cannot %s", operation, exc_info=error)
    return OciError(
        f"an unexpected fault in the console ({type(error).__name__})",
        operation=operation,
        hint="The worker's log has the details; please report it.",
    )
