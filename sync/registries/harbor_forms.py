"""The forms of Harbor's API: where things are, and what an artifact tells."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sync.oci.reference import digest_tags, is_digest
from sync.registries.listing import Row

Artifact = Mapping[str, Any]


def project_of(name: str) -> str:
    return name.partition("/")[0]


def path_of(repository: str) -> str:
    """Slashes in the name of a repository are encoded twice over."""
    project, _, rest = repository.partition("/")
    return f"/projects/{quote(project)}/repositories/{quote(quote(rest, safe=''))}"


def name_of(form: Mapping[str, Any]) -> str:
    return str(form.get("name") or "")


def tags_of(artifact: Artifact) -> list[Mapping[str, Any]]:
    return [tag for tag in artifact.get("tags") or () if isinstance(tag, dict)]


def rows_of(artifact: Artifact, repository: str = "") -> Iterator[Row]:
    """A row for each tag, and one under the first tag that could hold a signature where the artifact has any."""
    name, digest = repository or str(artifact.get("repository_name")), str(artifact.get("digest"))
    if not is_digest(digest):
        return
    for tag in tags_of(artifact):
        yield name, name_of(tag), digest
    if artifact.get("accessories"):
        yield name, digest_tags(digest)[0], digest


def all_rows(artifacts: Iterable[Artifact]) -> Iterator[Row]:
    return (row for artifact in artifacts for row in rows_of(artifact))


def moment_of(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
