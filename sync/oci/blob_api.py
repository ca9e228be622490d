"""Blobs of a registry (OCI distribution 1.1, "Pushing Blobs", "Mounting a Blob"; reading them: BlobReading)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from urllib.parse import quote

from sync.oci.blob_reading import BlobReading, Block
from sync.oci.blob_sending import Content, Feed, Sending, Upload
from sync.oci.errors import DigestMismatch, NotFound, OciError, ProtocolViolation, RegistryAnswer, Rejected
from sync.oci.manifest import Descriptor
from sync.oci.places import resolve
from sync.oci.reference import check_repository, is_digest, parse_digest
from sync.oci.response import Response
from sync.oci.session import pull, push
from sync.oci.transport import ATTEMPTS, RETRY_AFTER_CAP

MOUNT_REFUSED = frozenset({400, 401, 403, 404, 405})
# What no other way of sending the same bytes can change.
FINAL_CODES = frozenset({"DENIED", "NAME_INVALID", "UNAUTHORIZED"})
SESSION_LOST = (404, 416)


class BlobApi(BlobReading):
    """Reading, mounting and uploading blobs."""

    def mount(self, repository: str, digest: str, from_repository: str) -> Upload | None:
        """Ask for a blob that the registry has in another repository: None when it is there now (201).

        Else the upload session to send it with: the one offered in place of the mount (202, P-13) or, where mounting
        is refused, a plain one (P-14).
        """
        query = f"mount={quote(parse_digest(digest), safe='')}"
        query += f"&from={quote(check_repository(from_repository), safe='')}" if from_repository else ""
        scopes = [push(repository), *([pull(from_repository)] if from_repository else [])]
        with self._doing(f"mount blob {repository}@{digest}"):
            try:
                response = self._request("POST", f"{_uploads(repository)}?{query}", scopes, body=b"", ok=(201, 202))
            except RegistryAnswer as problem:
                if problem.status not in MOUNT_REFUSED:
                    raise
                return self.start_upload(repository)
            return None if response.status == 201 else self._opened(response)

    def start_upload(self, repository: str) -> Upload:
        """Open an upload session."""
        with self._doing(f"start an upload to {repository}"):
            response = self._request("POST", _uploads(repository), (push(repository),), body=b"", ok=(202,))
            return self._opened(response)

    def upload(
        self,
        repository: str,
        descriptor: Descriptor,
        content: Iterable[Block] | Content,
        upload: Upload | None = None,
    ) -> None:
        """Send a blob into `upload` or a new session; a failed session is given up (P-06).

        In one PUT (P-01), or beyond 64 MiB in a PATCH and an empty PUT, as `docker push` does: the body of that PATCH
        may end early and in good order, and then every registry lets go of the session. One whose PUT was cut off
        can be neither ended nor resumed in CNCF distribution, which keeps its bytes for a week. Where a request for
        all of it is refused, in PATCHes of a size that the registry takes (P-04).
        The size is checked here, the digest by the registry (and by `content`, if that is a BlobReader).

        content: the bytes, or what gives them from an offset on. With the latter it goes on where it broke, or begins
        anew, until it went wrong ATTEMPTS times in a row (P-05, P-17); bytes of a wrong digest are sent anew once
        (P-37). With the former only blobs up to 1 MiB are; the error of a longer one is `retryable` when sending it all
        again, in a new session, can help.
        """
        with self._doing(f"upload blob {repository}@{descriptor.digest}"):
            sending = Sending(repository, descriptor, content, upload or self.start_upload(repository))
            try:
                while not self._sent(sending):
                    self._transport.check_cancelled()
            except BaseException:
                self.abandon(repository, sending.session)
                raise

    def abandon(self, repository: str, session: Upload) -> None:
        """Give an upload session up (P-06). Its failure is ignored."""
        try:
            self._clean_up(session.location, (push(repository),))
        except OciError:
            return  # the registry clears forgotten sessions by itself; the first failure is the one to tell

    def _sent(self, sending: Sending) -> bool:
        """False when it went wrong and all is prepared to go on. Raises what nothing can be done about."""
        feed = sending.feed(self._transport.check_cancelled)
        with closing(feed):
            try:
                self._send_all(sending, feed)
                return True
            except OciError as error:
                problem = feed.problem or error
        if not callable(sending.content) or not self._may_go_on(sending, feed, problem):
            raise problem
        return False

    def _send_all(self, sending: Sending, feed: Feed) -> None:
        if sending.in_one_put:
            if sending.buffered:
                held = b"".join(map(bytes, feed.take(sending.descriptor.size)))
                feed.check()
                sending.content = lambda offset: iter([held[offset:]])
                self._complete(sending, held)
            else:
                self._complete(sending, feed.take(sending.descriptor.size))
            return
        if sending.step is None:
            self._patch_all(sending, feed)
        else:
            self._patch_in_steps(sending, feed, sending.step)
        self._complete(sending, b"")

    def _patch_all(self, sending: Sending, feed: Feed) -> None:
        """PATCH without a length told in advance; each answer names the session anew (P-03)."""
        body = feed.take(sending.descriptor.size, orderly=True)
        response = self._send(sending, "PATCH", sending.session.location, {}, body, ok=(201, 202, 204))
        sending.session = self._opened(response, sending.session)
        feed.check()
        sending.got_to(sending.descriptor.size)

    def _patch_in_steps(self, sending: Sending, feed: Feed, step: int) -> None:
        """OCI distribution 1.1, "Pushing a blob in chunks". Some answer 201 to each (P-04)."""
        while sending.offset < sending.descriptor.size:
            start, end = sending.offset, min(sending.offset + step, sending.descriptor.size)
            headers = {"Content-Length": str(end - start), "Content-Range": f"{start}-{end - 1}"}
            location, body = sending.session.location, feed.take(end - start)
            response = self._send(sending, "PATCH", location, headers, body, ok=(201, 202, 204))
            sending.session = self._opened(response, sending.session)
            sending.got_to(end)

    def _complete(self, sending: Sending, body: bytes | Iterator[Block]) -> None:
        """The PUT that makes the session a blob, with all or none of its bytes."""
        digest, location = sending.descriptor.digest, sending.session.location
        length = len(body) if isinstance(body, bytes) else sending.descriptor.size
        target = f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"
        response = self._send(sending, "PUT", target, {"Content-Length": str(length)}, body, ok=(201, 204))
        told = response.header("Docker-Content-Digest")
        if told and told != digest and not _is_by_another_algorithm(told, digest):
            raise DigestMismatch(f"the registry stored it under the digest {told[:140]!r}")

    def _send(
        self,
        sending: Sending,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | Iterator[Block],
        *,
        ok: Sequence[int],
    ) -> Response:
        sent = {"Content-Type": "application/octet-stream", **headers}
        sending.repeated = isinstance(body, bytes)
        try:
            return self._request(method, target, (push(sending.repository),), sent, body, ok=ok)
        except (NotFound, Rejected) as problem:
            if not problem.operation and problem.status in SESSION_LOST:  # else it is the source's, which `body` reads
                problem.retryable = True
                problem.hint = "The registry has forgotten the upload; it is begun again."
            raise

    def _may_go_on(self, sending: Sending, feed: Feed, problem: OciError) -> bool:
        """Whether sending once more can help; then the session is ready for it. Raises what it meets in doing so."""
        if isinstance(problem, DigestMismatch) or problem.code == "DIGEST_INVALID":
            doubted, sending.doubted = sending.doubted, True
            return not doubted and self._begin_anew(sending)
        if feed.problem:
            return False
        if _passes(problem) and (not sending.repeated or problem.status in SESSION_LOST):
            sending.tries += 1
            if sending.tries >= ATTEMPTS:
                return False
            self._transport.pause(sending.tries)
            return self._find_out(sending)
        if isinstance(problem, Rejected) and problem.code not in FINAL_CODES and not problem.retryable:
            return sending.divide(further=problem.status == 413) and self._begin_anew(sending)
        return False

    def _find_out(self, sending: Sending) -> bool:
        """How much the registry has (OCI distribution 1.1, "Resuming an upload"); what it does not tell begins anew."""
        if sending.in_one_put:
            return self._begin_anew(sending)
        scopes = (push(sending.repository),)
        try:
            response = self._request("GET", sending.session.location, scopes, ok=(200, 202, 204))
        except (NotFound, Rejected):
            return self._begin_anew(sending)
        sending.session = self._opened(response, sending.session)
        told = _range_end(response)
        if not told or told >= sending.descriptor.size:  # 0-0 may mean that one byte is there, or none
            return self._begin_anew(sending)
        sending.step = sending.step or sending.descriptor.size
        sending.got_to(told + 1)
        return True

    def _begin_anew(self, sending: Sending) -> bool:
        self.abandon(sending.repository, sending.session)
        sending.session = self.start_upload(sending.repository)
        sending.offset = 0
        return True

    def _opened(self, response: Response, before: Upload | None = None) -> Upload:
        """The session that an answer names; another host may be named, but gets no credentials (P-02)."""
        location = response.header("Location") or (before.location if before else "")
        if not location:
            raise ProtocolViolation("the registry opens an upload without telling its Location")
        url = resolve(response.url, location)
        if not self._transport.is_home(url):
            self._transport.check_hop(url)
        told = response.header("OCI-Chunk-Min-Length")
        return Upload(url, int(told) if told.isdecimal() else before.least_step if before else 0)


def _uploads(repository: str) -> str:
    return f"/v2/{check_repository(repository)}/blobs/uploads/"


def _is_by_another_algorithm(told: str, digest: str) -> bool:
    """Some registries keep all under sha256, and answer with that, after they have checked the digest asked for."""
    return is_digest(told) and told.partition(":")[0] != digest.partition(":")[0]


def _passes(problem: OciError) -> bool:
    """Whether it may be gone within a minute."""
    return problem.retryable and (problem.retry_after is None or problem.retry_after <= RETRY_AFTER_CAP)


def _range_end(response: Response) -> int | None:
    """The place of the last byte that an upload session holds; None when it is not told."""
    told = re.fullmatch(r"(?:bytes[= ])?0-(\d+)", response.header("Range").strip())
    return int(told[1]) if told else None
