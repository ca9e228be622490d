"""Manifests and referrers of a registry (OCI distribution 1.1, "Pull", "Push", "Listing Referrers")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.oci.errors import (
    Denied,
    DigestMismatch,
    InvalidManifest,
    ManifestError,
    ManifestTooLarge,
    NotFound,
    ProtocolViolation,
    RegistryAnswer,
    Rejected,
    ResponseTooLarge,
    Unauthorized,
)
from sync.oci.list_api import parse_next_link, resolve_link
from sync.oci.manifest import ACCEPT, OCI_INDEX, Descriptor, Manifest
from sync.oci.reference import check_repository, check_tag, digest_of, is_digest, parse_digest
from sync.oci.response import Response
from sync.oci.session import Session, pull, push
from sync.oci.transport import always

HEAD_REFUSED = (400, 405)
REFERRER_PAGES = 1000
# How a registry refuses layers that it shall not hold: distribution says 500 UNKNOWN where their URLs are not allowed.
FOREIGN_REFUSED = frozenset({400, 404, 500})
IMMUTABLE_HINT = (
    "The target refuses to move this tag, which is as it was. Allow it there, or leave the tag out of the rule."
)
DELETION_OFF_HINT = "Deletion is off in this registry (distribution: storage.delete.enabled). Switch it on there."
FOREIGN_HINT = (
    "It has layers that are kept elsewhere and are never copied (foreign, nondistributable): "
    "the target takes it only if it is set to allow their addresses."
)
# Said by distribution 2.8 also of a part that somebody else is writing at this moment: worth asking once more.
PART_DENIED = frozenset({"MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID"})


@dataclass(frozen=True)
class Pushed:
    """What the target answered to a manifest: its digest, and whether it took note of the subject (OCI-Subject)."""

    digest: str
    subject_noted: bool


class ManifestApi(Session):
    """Reading, writing and looking for manifests."""

    def head_manifest(self, repository: str, reference: str) -> Descriptor | None:
        """What a tag or digest stands for, without fetching it; None when it is absent.

        Raises Unauthorized or Denied where the account may not look: some registries say so of what does not exist
        yet (P-22).
        """
        with self._doing(f"look up manifest {_named(repository, reference)}"):
            try:
                response = self._request(
                    "HEAD",
                    _path(repository, reference),
                    (self._reading(repository),),
                    {"Accept": ACCEPT},
                    ok=(200, *HEAD_REFUSED),
                )
            except NotFound:
                return None
            described = _described(response)
        return described or self._look_closer(repository, reference)

    def get_manifest(self, repository: str, reference: str) -> Manifest:
        """Read a manifest and check it against its digest.

        Raises ManifestTooLarge beyond the limit, and what Manifest.parse raises.
        """
        with self._doing(f"read manifest {_named(repository, reference)}"):
            try:
                response = self._request(
                    "GET",
                    _path(repository, reference),
                    (self._reading(repository),),
                    {"Accept": ACCEPT},
                    limit=self.manifest_limit,
                )
            except ResponseTooLarge as problem:
                raise ManifestTooLarge(f"the manifest is larger than {self.manifest_limit} bytes") from problem
            expected = reference if is_digest(reference) else response.header("Docker-Content-Digest")
            return Manifest.parse(
                response.body, response.header("Content-Type"), expected if is_digest(expected) else ""
            )

    def put_manifest(
        self, repository: str, reference: str, manifest: Manifest, check: Callable[[], None] = always
    ) -> Pushed:
        """Write a manifest under a tag or its digest, and make sure that the target has it under its digest.

        check: called before each try. Raises what it raises, and DigestMismatch when the target says another digest.
        """
        with self._doing(f"write manifest {_named(repository, reference)}"):
            try:
                response = self._put_again_if_a_part_is_denied(repository, reference, manifest, check)
            except RegistryAnswer as problem:
                if problem.status in FOREIGN_REFUSED and any(layer.is_foreign for layer in manifest.layers):
                    problem.hint = FOREIGN_HINT
                    # Any other 500 may be one of a registry that is ill.
                    problem.retryable = problem.status == 500 and problem.code != "UNKNOWN"
                elif problem.calls_immutable(repository) and not is_digest(reference):
                    problem.hint, problem.retryable = IMMUTABLE_HINT, False
                raise
            digest = response.header("Docker-Content-Digest") or self._digest_there(repository, reference)
            if not _is_digest_of(manifest, digest):
                raise DigestMismatch(f"it has the digest {digest[:140] or '(none)'} there, not {manifest.digest}")
            return Pushed(manifest.digest, bool(response.header("OCI-Subject")))

    def delete_manifest(self, repository: str, reference: str, check: Callable[[], None] = always) -> None:
        """Delete a tag, or a digest with all its tags; what is not there is deleted. check: see put_manifest."""
        with self._doing(f"delete {_named(repository, reference)}"):
            path, scopes = (
                _path(repository, reference),
                (f"repository:{check_repository(repository)}:delete,pull,push",),
            )
            try:
                self._request("DELETE", path, scopes, ok=(200, 202, 204), check=check)
            except NotFound:
                return
            except Rejected as refusal:
                if refusal.status == 405 and is_digest(reference):
                    refusal.hint = DELETION_OFF_HINT
                raise
            except (Denied, Unauthorized) as refusal:
                refusal.hint = refusal.hint or "The account of the target may not delete: allow it there."
                raise

    def _put_again_if_a_part_is_denied(
        self, repository: str, reference: str, manifest: Manifest, check: Callable[[], None]
    ) -> Response:
        try:
            return self._put(repository, reference, manifest, check)
        except RegistryAnswer as problem:
            if problem.code not in PART_DENIED:
                raise
            self._transport.pause(1)
            return self._put(repository, reference, manifest, check)

    def _put(self, repository: str, reference: str, manifest: Manifest, check: Callable[[], None]) -> Response:
        headers = {"Content-Type": manifest.media_type}
        path, scopes = _path(repository, reference), (push(repository),)
        return self._request("PUT", path, scopes, headers, manifest.body, ok=(200, 201, 202), check=check)

    def referrers(self, repository: str, digest: str) -> list[Descriptor] | None:
        """What refers to a manifest, by the Referrers API; None when this registry has none (P-58).

        That answer is remembered per repository, and not asked for again.
        """
        if repository in self._without_referrers:
            return None
        target = f"/v2/{check_repository(repository)}/referrers/{parse_digest(digest)}"
        with self._doing(f"list the referrers of {repository}@{digest}"):
            try:
                page, target = self._referrers_page(repository, target)
            except (NotFound, Rejected, Unauthorized, Denied, ManifestError):
                self._without_referrers.add(repository)
                return None
            found = list(page.children)
            for _ in range(REFERRER_PAGES):
                if not target:
                    return found
                page, target = self._referrers_page(repository, target)
                found += page.children
            raise ProtocolViolation("the list of referrers does not end")

    def _referrers_page(self, repository: str, target: str) -> tuple[Manifest, str]:
        """One page, and the URL of the next ("" after the last)."""
        response = self._request("GET", target, (self._reading(repository),), {"Accept": OCI_INDEX})
        page = Manifest.parse(response.body, OCI_INDEX)
        if not page.is_index:
            raise InvalidManifest("the list of referrers is not an index")
        link = parse_next_link(response.header_values("Link"))
        return page, resolve_link(link, response.url, self.endpoint.url) if link else ""

    def _reading(self, repository: str) -> str:
        """The scope for reading; in a target the one for writing, so that one token serves for all (P-16)."""
        return push(repository) if self.side == "target" else pull(repository)

    def _look_closer(self, repository: str, reference: str) -> Descriptor | None:
        """What HEAD did not tell, by GET (P-30)."""
        try:
            return self.get_manifest(repository, reference).descriptor
        except NotFound:
            return None

    def _digest_there(self, repository: str, reference: str) -> str:
        found = self.head_manifest(repository, reference)
        return found.digest if found else ""


def _path(repository: str, reference: str) -> str:
    checked = reference if is_digest(reference) else check_tag(reference)
    return f"/v2/{check_repository(repository)}/manifests/{checked}"


def _named(repository: str, reference: str) -> str:
    return f"{repository}{'@' if is_digest(reference) else ':'}{reference}"


def _described(response: Response) -> Descriptor | None:
    """The descriptor that a HEAD answer gives; None when it is refused or does not say enough."""
    digest, length = response.header("Docker-Content-Digest"), response.header("Content-Length")
    if response.status != 200 or not is_digest(digest) or length == "0":
        return None
    media_type = response.header("Content-Type").partition(";")[0].strip()
    return Descriptor(media_type, digest, int(length) if length.isdecimal() else 0)


def _is_digest_of(manifest: Manifest, digest: str) -> bool:
    return is_digest(digest) and digest_of(manifest.body, digest) == digest
