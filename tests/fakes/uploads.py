"""Upload sessions that can be resumed: Debian's registry forgets one whose connection broke."""

import re
from itertools import count

from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received


class ResumingRegistry(FakeRegistry):
    """Takes blobs into one repository as OCI distribution 1.1 tells; other requests as they are scripted.

    Each answer names the session anew, and only the newest name counts. least_step, most: bytes that a request's body
    must, or may, have. patched: the status that a PATCH is answered with.
    """

    def __init__(self, repository: str = "a", *, least_step: int = 0, most: int | None = None, patched: int = 202):
        super().__init__()
        self.blobs: dict[str, bytes] = {}
        self.sessions: dict[str, bytearray] = {}
        self.uploads = f"/v2/{repository}/blobs/uploads/"
        self._least_step, self._most, self._patched = least_step, most, patched
        self._names = count(1)
        for method, script in (
            ("POST", self._open),
            ("GET", self._tell),
            ("PATCH", self._append),
            ("PUT", self._complete),
            ("DELETE", self._forget),
        ):
            self.script(method, self.uploads, script)

    def cut_off(self, request: Received) -> None:
        """What came before the connection broke is kept."""
        if request.method == "PATCH":
            self.sessions[_name(request)] += request.body

    def _open(self, _: Received) -> Answer:
        return self._named(202, bytearray())

    def _tell(self, request: Received) -> Answer:
        held = self.sessions.pop(_name(request), None)
        return Answer(404) if held is None else self._named(204, held)

    def _append(self, request: Received) -> Answer:
        held = self.sessions.get(_name(request))
        if held is None:
            return Answer(404)
        if self._most is not None and len(request.body) > self._most:
            return Answer(413)
        told = re.fullmatch(r"(\d+)-(\d+)", request.headers.get("Content-Range", ""))
        if told and (int(told[1]), int(told[2]) + 1) != (len(held), len(held) + len(request.body)):
            return Answer(416)
        held += request.body
        return self._named(self._patched, self.sessions.pop(_name(request)))

    def _complete(self, request: Received) -> Answer:
        held = self.sessions.get(_name(request))
        if held is None:
            return Answer(404)
        if self._most is not None and len(request.body) > self._most:
            return Answer(413)
        wanted = request.target.partition("digest=")[2].replace("%3A", ":")
        content = bytes(held) + request.body
        if digest_of(content, wanted) != wanted:
            return Answer(400, body=b'{"errors":[{"code":"DIGEST_INVALID"}]}')
        del self.sessions[_name(request)]
        self.blobs[wanted] = content
        return Answer(201, {"Docker-Content-Digest": wanted})

    def _forget(self, request: Received) -> Answer:
        return Answer(404 if self.sessions.pop(_name(request), None) is None else 204)

    def _named(self, status: int, held: bytearray) -> Answer:
        name = f"s{next(self._names)}"
        self.sessions[name] = held
        headers = {"Location": f"{self.uploads}{name}?_state=x%2fy", "Range": f"0-{max(0, len(held) - 1)}"}
        least = {"OCI-Chunk-Min-Length": str(self._least_step)} if self._least_step else {}
        return Answer(status, headers | least)


def _name(request: Received) -> str:
    return request.target.partition("?")[0].rpartition("/")[2]
