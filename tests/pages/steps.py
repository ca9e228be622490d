"""Steps of a check as no registry needs to be there for."""

from sync.services.drift import Finding, Progress, Stage, Step, What


def make_step(repository: str, tag: str, stage: Stage = Stage.DONE) -> Step:
    """A step that found one of everything, at the end of its check or in the midst of it."""
    digest = "sha256:" + "a" * 64
    counts = {"repositories": 1, "tags": 1234, "equal": 1000, "missing": 231, "overwrite": 1, "conflict": 1}
    progress = Progress("key", stage, repository, tag, extra=400, unknown=1, left_out=1, **counts)
    made = [Finding(what, repository, f"mirror/{repository}"[:255], tag, digest, digest) for what in What]
    reason = f"Target prod-eu: cannot list the tags of {repository}: {'x' * 300}"
    return Step(progress, [*made, Finding(What.UNKNOWN, repository, repository, reason=reason)], others_problem=reason)
