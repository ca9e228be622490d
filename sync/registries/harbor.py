"""Harbor 2.x: data by the OCI API, lists, projects and single tags by its own API, version 2.0.

Its Swagger description tells the forms. It lists the artifacts of a whole project since 2.12; signatures and the like
("accessories") are in no list of artifacts, only named at what they belong to.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

from sync.oci.client import Client
from sync.oci.errors import Cancelled, Denied, NotFound, OciError, ProtocolViolation, Rejected, Unauthorized
from sync.oci.list_api import Bookmark
from sync.oci.reference import NAMESPACE_TOP, digest_tags, in_namespace, is_digest, is_digest_tag, namespaces_of
from sync.registries import harbor_words
from sync.registries.base import Management, Registry, Resource
from sync.registries.listing import Listing, Row

API = "/api/v2.0"
# Harbor gives no more on one page.
PAGE = 100
PAGES_AT_ONCE = 4
# The oldest first: what is pushed meanwhile comes last and moves nothing from page to page.
TAGGED: Mapping[str, str] = {"q": "tags=*", "sort": "id", "with_tag": "true", "with_accessory": "true"}

Query = Mapping[str, str]
NOTHING: Query = {}
Artifact = Mapping[str, Any]
Page = tuple[list[Artifact], int | None]


class Harbor(Registry):
    address = "https://harbor.example"
    advice = (
        "The namespace is the project, with or without more of the path. The account is best a robot account, with its "
        "whole name (robot$name): of a source it needs Repository: Pull and List, Artifact: List and Tag: List; of a "
        "target also Repository: Push, and Tag: Delete where rules delete. Only a robot account of the system makes "
        "missing projects, which are private: Project: Create. A proxy cache is no target."
    )
    lists_digests = True

    def __init__(self, client: Client, management: Management | None = None) -> None:
        super().__init__(client, management)
        self._closed: set[str] = set()

    def namespaces(self) -> dict[str, int]:
        """The projects that the account may see; by the catalog where it may not list them."""
        try:
            projects = list(self._all("list the projects", "/projects"))
        except (Denied, NotFound):
            return namespaces_of(self.client.catalog())
        return dict(sorted((str(one["name"]), int(one.get("repo_count") or 0)) for one in projects))

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        """Where a list is gone on with it is sorted here: the order of a database depends on its language."""
        if namespace == NAMESPACE_TOP:
            return  # nothing lies outside of a project
        names: Iterable[str] = self._names(_project(namespace), listed=after is None)
        place = after or Bookmark()
        for name in names if after is None else sorted(names):
            if in_namespace(name, namespace) is not None and (after is None or name > after.last):
                place.first, place.last = place.first or name, name
                yield name

    def _names(self, project: str, *, listed: bool) -> Iterator[str]:
        if listed and self.listing is not None:
            self._fill(self.listing, project)
            if self.listing.repositories:
                yield from self.listing.repositories
                return
        seen: set[str] = set()
        operation = f"list the repositories of {project}"
        for one in self._all(operation, f"/projects/{quote(project)}/repositories", {"sort": "name"}):
            if one["name"] not in seen:
                seen.add(str(one["name"]))
                yield str(one["name"])

    def ensure_namespace(self, namespace: str) -> None:
        if namespace == NAMESPACE_TOP:
            raise self._refusal("nothing lies outside of a project in Harbor", "Name a project in the rule.", namespace)
        project = _project(namespace)
        if self._is_there(project):
            self._refuse_proxy_cache(project)
            return
        wanted = {"project_name": project, "metadata": {"public": "false"}}
        # 409: somebody else was quicker.
        self.client.manage(f"create the project {project}", "POST", f"{API}/projects", wanted, ok=(201, 409))

    def _is_there(self, project: str) -> bool:
        query = urlencode({"project_name": project})
        try:
            self.client.manage(f"look for the project {project}", "HEAD", f"{API}/projects?{query}")
        except NotFound:
            return False
        return True

    def _refuse_proxy_cache(self, project: str) -> None:
        """A list tells it to robot accounts that may not read the project, and takes no name for a number."""
        found = self._all(f"look for the project {project}", "/projects", {"q": f"name={project}"})
        with suppress(Denied, NotFound, Unauthorized):
            if any(one["name"] == project and one.get("registry_id") for one in found):
                problem = f"the project {project} is a proxy cache, which takes no pushes"
                raise self._refusal(problem, harbor_words.PROXY_CACHE, project)

    def _refusal(self, problem: str, hint: str, namespace: str) -> OciError:
        problem_there = OciError(problem, hint=hint)
        return problem_there.located(self.client.side, self.client.endpoint.label, f"write to {namespace}")

    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        path = f"{API}{_path(repository)}/artifacts/{quote(tag, safe='')}/tags/{quote(tag, safe='')}"
        try:
            self.client.manage(f"delete the tag {repository}:{tag}", "DELETE", path, check=check)
        except NotFound as error:
            if error.code != harbor_words.ABSENT:
                raise  # nobody says so who knows the tags

    def resources(self, repository: str) -> Iterator[Resource]:
        for artifact in self._artifacts(repository):
            for tag in artifact.get("tags") or ():
                pushed = _moment(tag.get("push_time") or artifact.get("push_time"))
                yield Resource(repository, str(tag["name"]), str(artifact["digest"]), pushed)

    def digests(self, repository: str) -> dict[str, str] | None:
        """Of tags that hold signatures the digest is blank where no list tells it.

        A repository without any is left to the OCI API, which knows whether it is there at all.
        """
        project = _project(repository)
        if project in self._closed:
            return None
        try:
            known = self._taken(repository) or self._listed(repository)
        except (Unauthorized, Denied, NotFound) as refusal:
            if refusal.code != harbor_words.NO_REPOSITORY:
                self._closed.add(project)
            return None
        return self._with_signatures(repository, known) or None

    def _listed(self, repository: str) -> dict[str, str]:
        return {tag: digest for one in self._artifacts(repository) for _, tag, digest in _rows(one, repository)}

    def _taken(self, repository: str) -> dict[str, str] | None:
        if self.listing is None:
            return None
        self._fill(self.listing, _project(repository))
        return self.listing.take(repository)

    def _with_signatures(self, repository: str, known: dict[str, str]) -> dict[str, str]:
        """Where something is signed, the tags by which signatures are found: the OCI API lists them."""
        marks = [tag for tag in known if is_digest_tag(tag)]
        if not marks:
            return known
        listed = {tag: known.get(tag, "") for tag in self.client.tags(repository) if is_digest_tag(tag)}
        # One that has no tag is found by the Referrers API; its mark lets the engine look for it.
        bare = {tag: "" for tag in marks if not any(other.startswith(tag) for other in listed)}
        return {tag: digest for tag, digest in known.items() if not is_digest_tag(tag)} | listed | bare

    def _artifacts(self, repository: str) -> Iterator[Artifact]:
        return self._all(f"list the artifacts of {repository}", f"{_path(repository)}/artifacts", TAGGED)

    def _fill(self, listing: Listing, project: str) -> None:
        """Nothing comes where this Harbor is too old, or refuses: then the repositories are listed one by one."""
        listing.fill(partial(self._read_project, listing, project))

    def _read_project(
        self, listing: Listing, project: str, has: Callable[[int], bool], put: Callable[[int, Iterable[Row]], None]
    ) -> None:
        path = f"/projects/{quote(project)}/artifacts"
        read = partial(self._page, f"list the artifacts of {project}", path, TAGGED)
        try:
            artifacts, total = read(1)
        except (Unauthorized, Denied, NotFound, Rejected):
            return
        pages = -(-(total or 0) // PAGE)
        if total is None or (listing.at_most is not None and pages > listing.at_most):
            return
        put(1, _all_rows(artifacts))
        left = (page for page in range(2, pages + 1) if not has(page))
        _at_once(left, lambda page: put(page, _all_rows(read(page)[0])))

    def _all(self, operation: str, path: str, query: Query = NOTHING) -> Iterator[Artifact]:
        seen = 0
        for page in count(1):
            rows, total = self._page(operation, path, query, page)
            yield from rows
            seen += len(rows)
            if not rows or (len(rows) < PAGE if total is None else seen >= total):
                return

    def _page(self, operation: str, path: str, query: Query, page: int) -> Page:
        asked = urlencode({"page": page, "page_size": PAGE, **query})
        response = self.client.manage(operation, "GET", f"{API}{path}?{asked}")
        total = response.header("X-Total-Count")
        try:
            rows = response.json() or []
            if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
                raise ProtocolViolation("Harbor's list is not a list")
        except ProtocolViolation as problem:
            raise problem.located(self.client.side, self.client.endpoint.label, operation) from None
        return rows, int(total) if total.isdecimal() else None

    def recognize(self) -> bool:
        """By what it tells of itself to anybody."""
        try:
            told = self.client.manage("recognize the registry", "GET", f"{API}/systeminfo").json()
        except Cancelled:
            raise
        except OciError:
            return False
        return isinstance(told, dict) and {"auth_mode", "self_registration"} <= told.keys()

    def explain(self, error: OciError) -> None:
        harbor_words.explain(error)


def _project(name: str) -> str:
    return name.partition("/")[0]


def _path(repository: str) -> str:
    """Slashes in the name of a repository are encoded twice over."""
    project, _, rest = repository.partition("/")
    return f"/projects/{quote(project)}/repositories/{quote(quote(rest, safe=''))}"


def _rows(artifact: Artifact, repository: str = "") -> Iterator[Row]:
    """A row for each tag, and one under the first tag that could hold a signature where the artifact has any."""
    name, digest = repository or str(artifact.get("repository_name")), str(artifact.get("digest"))
    if not is_digest(digest):
        return
    for tag in artifact.get("tags") or ():
        yield name, str(tag.get("name")), digest
    if artifact.get("accessories"):
        yield name, digest_tags(digest)[0], digest


def _all_rows(artifacts: Iterable[Artifact]) -> Iterator[Row]:
    return (row for artifact in artifacts for row in _rows(artifact))


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _at_once(pages: Iterable[int], read: Callable[[int], None]) -> None:
    """Some at the same time; when one fails nobody begins another, and what it raised is raised."""
    left = deque(pages)

    def read_on() -> None:
        try:
            while left:
                with suppress(IndexError):
                    read(left.popleft())
        except BaseException:
            left.clear()
            raise

    with ThreadPoolExecutor(min(PAGES_AT_ONCE, len(left)) or 1) as pool:
        for reader in [pool.submit(read_on) for _ in range(PAGES_AT_ONCE)]:
            reader.result()
