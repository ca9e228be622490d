"""Harbor 2.x as its own documents tell it: no Harbor can be run here.

Followed: its Swagger description of the API v2.0 (paths, parameters, forms of projects, repositories, artifacts, tags
and accessories, X-Total-Count and Link, at most 100 on a page), and its sources of release 2.16 for what that leaves
open: what a refusal says (code and message), that signatures are left out of lists of artifacts, what robot accounts
see, that a missing project is 401 by the OCI API and 403 to who may not see it, and that projects list artifacts
since 2.12.
"""

import json
import re
import threading
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from sync.oci.reference import digest_tags, is_digest
from tests.fakes.holding import METHODS, PATH, HoldingRegistry
from tests.fakes.registry import Answer, Received

API = "/api/v2.0"
PUSHED = "2026-03-01T12:00:00.000Z"
EVERYTHING = frozenset({"list", "pull", "push", "create project", "delete tag"})
INFO = {"auth_mode": "db_auth", "primary_auth_mode": False, "self_registration": False, "banner_message": ""}
Documents = list[dict[str, Any]]


@dataclass
class Project:
    """registry_id: that of a proxy cache. quota_used: every push is refused. immutable: tags that a rule keeps."""

    name: str
    number: int
    public: bool = False
    registry_id: int = 0
    quota_used: bool = False
    immutable: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Account:
    """A robot account. projects: those that it covers, None for one of the system that covers all."""

    secret: str
    may: frozenset[str] = EVERYTHING
    projects: Collection[str] | None = None
    disabled: bool = False

    def allows(self, what: str, project: str) -> bool:
        return what in self.may and (self.projects is None or project in self.projects)


NOBODY = Account("", frozenset())


def refusal(status: int, code: str, message: str) -> Answer:
    return Answer(status, body=json.dumps({"errors": [{"code": code, "message": message}]}).encode())


FORBIDDEN = refusal(403, "FORBIDDEN", "forbidden")


class FakeHarbor(HoldingRegistry):
    """accounts: by whole name, robot$... lists_projects: whether it is 2.12 or later. asked: by method and status."""

    def __init__(self, accounts: Mapping[str, Account] | None = None, *, lists_projects: bool = True) -> None:
        super().__init__()
        self.accounts = dict(accounts or {})
        self.lists_projects = lists_projects
        self.projects: dict[str, Project] = {}
        self.answered: Counter[tuple[str, int]] = Counter()
        self._ids = count(1)
        self._making = threading.Lock()
        self.script("GET", "/service/token", self._token)
        for method in METHODS:
            self.script(method, API, self._api)

    def make(self, name: str, **about: Any) -> Project:
        return self.projects.setdefault(name, Project(name, next(self._ids), **about))

    # the OCI API

    def v2(self, request: Received) -> Answer:
        found = PATH.fullmatch(urlsplit(request.target).path)
        if not self._credential(request):
            challenge = f'Bearer realm="{self.url}/service/token",service="harbor-registry"'
            return Answer(401, {"WWW-Authenticate": challenge}, refusal(401, "UNAUTHORIZED", "unauthorized").body)
        return self._of_project(request, found["name"], found["rest"]) if found else super().v2(request)

    def _of_project(self, request: Received, name: str, rest: str) -> Answer:
        project, writes = self.projects.get(name.partition("/")[0]), request.method not in ("GET", "HEAD")
        if project is None:
            missing = f"project {name.partition('/')[0]} not found"
            return refusal(401, "UNAUTHORIZED", f"{missing}: {missing}")
        if not (project.public and not writes) and not self._may(request, "push" if writes else "pull", project.name):
            what = "push" if writes else "pull"
            return refusal(401, "UNAUTHORIZED", f"unauthorized to access repository: {name}, action: {what}")
        if writes and project.registry_id:
            return refusal(403, "DENIED", f"denied: can not push artifact to a proxy project: {project.name}")
        if request.method == "PUT" and project.quota_used:
            told = "adding 2.1 KiB of storage resource, which when updated to current usage of 1.0 GiB will exceed the"
            words = f"Quota exceeded when processing the request of {told} configured upper limit of 1.0 GiB."
            return refusal(403, "DENIED", words)
        if request.method == "PUT" and rest in project.immutable and rest in self.held[name].tags:
            short = name.partition("/")[2]
            words = f"Failed to process request due to '{short}:{rest}' configured as immutable."
            return refusal(412, "PRECONDITION", words)
        return super().v2(request)

    def absent(self, name: str) -> Answer:
        return refusal(404, "NOT_FOUND", f"repository {name} not found")

    # accounts

    def _token(self, request: Received) -> Answer:
        who = request.headers.get("Authorization", "")
        if who and self._account(request) is NOBODY:
            return refusal(401, "UNAUTHORIZED", "unauthorized")
        return Answer(body=json.dumps({"token": who.replace(" ", ".") or "anonymous", "expires_in": 1800}).encode())

    def _credential(self, request: Received) -> str:
        return str(request.headers.get("Authorization", ""))

    def _account(self, request: Received) -> Account:
        coded = self._credential(request).removeprefix("Bearer ").replace("Basic.", "Basic ").removeprefix("Basic ")
        if not coded or coded == "anonymous":
            return NOBODY
        name, _, secret = b64decode(coded).decode().partition(":")
        account = self.accounts.get(name, NOBODY)
        return account if account.secret == secret and not account.disabled else NOBODY

    def _may(self, request: Received, what: str, project: str) -> bool:
        return self._account(request).allows(what, project)

    # the API v2.0

    def _api(self, request: Received) -> Answer:
        answer = self._routed(request)
        self.answered[request.method, answer.status] += 1
        return answer

    def _routed(self, request: Received) -> Answer:
        address = urlsplit(request.target)
        path, query = address.path.removeprefix(API), {key: one[0] for key, one in parse_qs(address.query).items()}
        routes: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
            ("GET", r"/systeminfo", lambda *_: Answer(body=json.dumps(INFO).encode())),
            ("GET", r"/ping", lambda *_: Answer(200, {"Content-Type": "text/plain"}, b"Pong")),
            ("GET", r"/projects", self._projects),
            ("HEAD", r"/projects", self._project_there),
            ("POST", r"/projects", self._create),
            ("GET", r"/projects/([^/]+)/repositories", self._repositories),
            ("GET", r"/projects/([^/]+)/artifacts", self._of_whole_project),
            ("GET", r"/projects/([^/]+)/repositories/([^/]+)/artifacts", self._of_repository),
            ("DELETE", r"/projects/([^/]+)/repositories/([^/]+)/artifacts/([^/]+)/tags/([^/]+)", self._delete_tag),
        )
        for method, pattern, serve in routes:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                return serve(request, query, *(unquote(unquote(part)) for part in found.groups()))
        return refusal(404, "NOT_FOUND", f"path {address.path} was not found")

    def _page(self, request: Received, query: Mapping[str, str], rows: list[Any], form: Callable[[Any], Any]) -> Answer:
        page, size = int(query.get("page", 1)), int(query.get("page_size", 10))
        if size > 100:
            return refusal(422, "UNPROCESSABLE_ENTITY", "page_size in query should be less than or equal to 100")
        path, links = urlsplit(request.target).path, []
        for rel, other, there in (("prev", page - 1, page > 1), ("next", page + 1, page * size < len(rows))):
            if there:
                told = unquote(urlencode({**query, "page": other, "page_size": size}))
                links.append(f'<{path}?{told}>; rel="{rel}"')
        headers = {"X-Total-Count": str(len(rows)), "Link": " , ".join(links)}
        return Answer(200, headers, json.dumps([form(row) for row in rows[(page - 1) * size : page * size]]).encode())

    def _projects(self, request: Received, query: Mapping[str, str]) -> Answer:
        account, named = self._account(request), query.get("q", "").removeprefix("name=")
        seen = [
            one
            for _, one in sorted(self.projects.items())
            if (one.public or (account is not NOBODY and (account.projects is None or one.name in account.projects)))
            and (not named or one.name == named)
        ]
        return self._page(request, query, seen, self._project_form)

    def _project_form(self, one: Project) -> dict[str, Any]:
        proxy = {"registry_id": one.registry_id} if one.registry_id else {}
        repositories = sum(name.startswith(f"{one.name}/") for name in self.held)
        about = {"project_id": one.number, "name": one.name, "repo_count": repositories}
        return about | {"metadata": {"public": str(one.public).lower()}} | proxy

    def _project_there(self, request: Received, query: Mapping[str, str]) -> Answer:
        if self._account(request) is NOBODY:
            return Answer(401)
        return Answer(200 if query["project_name"] in self.projects else 404)

    def _create(self, request: Received, _: object) -> Answer:
        account = self._account(request)
        if account is NOBODY:
            return refusal(401, "UNAUTHORIZED", "unauthorized")
        if account.projects is not None:
            return refusal(403, "FORBIDDEN", "Only system level robot can create project")
        if "create project" not in account.may:
            return refusal(403, "FORBIDDEN", "Only system admin can create project")
        asked = json.loads(request.body)
        name = asked["project_name"]
        with self._making:
            if name in self.projects:
                return refusal(409, "CONFLICT", f"The project named {name} already exists")
            self.make(name, public=asked["metadata"].get("public") == "true")
        return Answer(201, {"Location": f"{API}/projects/{self.projects[name].number}"})

    def _denies(self, request: Received, what: str, project: str) -> Answer | None:
        there = self.projects.get(project)
        if there is not None and (self._may(request, what, project) or (there.public and what == "list")):
            return None
        return refusal(401, "UNAUTHORIZED", "unauthorized") if self._account(request) is NOBODY else FORBIDDEN

    def _repositories(self, request: Received, query: Mapping[str, str], project: str) -> Answer:
        names = sorted(name for name in self.held if name.startswith(f"{project}/"))
        form = lambda name: {"name": name, "artifact_count": len(self.held[name].manifests), "pull_count": 0}  # noqa: E731
        return self._denies(request, "list", project) or self._page(request, query, names, form)

    def _of_whole_project(self, request: Received, query: Mapping[str, str], project: str) -> Answer:
        if not self.lists_projects:
            return refusal(404, "NOT_FOUND", f"path {API}/projects/{project}/artifacts was not found")
        if self._account(request) is NOBODY:
            return refusal(401, "UNAUTHORIZED", "unauthorized")
        names = [name for name in self.held if name.startswith(f"{project}/")]
        return self._denies(request, "list", project) or self._artifacts(request, query, names)

    def _of_repository(self, request: Received, query: Mapping[str, str], project: str, rest: str) -> Answer:
        names = [f"{project}/{rest}"] if f"{project}/{rest}" in self.held else []
        return self._denies(request, "list", project) or self._artifacts(request, query, names)

    def _artifacts(self, request: Received, query: Mapping[str, str], names: Iterable[str]) -> Answer:
        rows = [row for name in names for row in self._rows(name, tagged=query.get("q") == "tags=*")]
        with_accessory = query.get("with_accessory") == "true"
        return self._page(request, query, rows, lambda row: row if with_accessory else row | {"accessories": None})

    def _rows(self, name: str, *, tagged: bool) -> Documents:
        held, accessories, tags = self.held[name], self._accessories(name), defaultdict(list)
        for tag, digest in held.tags.items():
            tags[digest].append({"name": tag, "push_time": PUSHED, "immutable": False})
        return [
            {
                "type": "IMAGE",
                "digest": digest,
                "repository_name": name,
                "push_time": PUSHED,
                "tags": tags[digest] or None,
                "accessories": [
                    {"digest": one, "subject_artifact_digest": digest, "type": "signature.cosign"}
                    for one, subject in accessories.items()
                    if subject == digest
                ]
                or None,
            }
            for digest in held.manifests
            if digest not in accessories and (not tagged or digest in tags)
        ]

    def _accessories(self, name: str) -> dict[str, str]:
        """What is kept as a signature, with what it belongs to: by its tag, or as it refers to it."""
        held = self.held[name]
        found = {digest: subject for digest, subject in held.subjects.items() if subject in held.manifests}
        signed = {f"{digest_tags(digest)[0]}.sig": digest for digest in held.manifests}
        return found | {held.tags[tag]: digest for tag, digest in signed.items() if tag in held.tags}

    def _delete_tag(
        self, request: Received, _: object, project: str, rest: str, reference: str, tag: str
    ) -> Answer:  # fmt: skip
        denied, held = self._denies(request, "delete tag", project), self.held.get(f"{project}/{rest}")
        if denied:
            return denied
        if held is None or (not is_digest(reference) and reference not in held.tags):
            return refusal(404, "NOT_FOUND", f"artifact {project}/{rest}:{reference} not found")
        if tag not in held.tags:
            return refusal(404, "NOT_FOUND", f"tag {tag} attached to artifact 7 not found")
        if tag in self.projects[project].immutable:
            return refusal(412, "PRECONDITION", f"the tag {tag} configured as immutable, cannot be deleted")
        del held.tags[tag]
        return Answer()
