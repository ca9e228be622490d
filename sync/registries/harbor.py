"""Harbor 2.x: data by the OCI API, lists, projects and single tags by its own API, version 2.0.

Its Swagger description tells the forms. It lists the artifacts of a whole project since 2.12; signatures and the like
("accessories") are in no list of artifacts, only named at what they belong to.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from urllib.parse import quote, urlencode

from sync.oci.client import Client
from sync.oci.errors import (
    Cancelled,
    Denied,
    NotFound,
    OciError,
    ProtocolViolation,
    Rejected,
    TooManyRequests,
    Unauthorized,
)
from sync.oci.list_api import Bookmark
from sync.oci.reference import NAMESPACE_TOP, in_namespace, is_digest_tag, namespaces_of
from sync.registries import harbor_words
from sync.registries.base import Management, Registry, Resource
from sync.registries.harbor_forms import Artifact, all_rows, moment_of, name_of, path_of, project_of, rows_of, tags_of
from sync.registries.listing import Listing, Row

log = logging.getLogger(__name__)

API = "/api/v2.0"
# Harbor gives no more on one page.
PAGE = 100
PAGES_AT_ONCE = 4
# The oldest first: what is pushed meanwhile comes last and moves nothing from page to page.
TAGGED: Mapping[str, str] = {"q": "tags=*", "sort": "id", "with_tag": "true", "with_accessory": "true"}

Query = Mapping[str, str]
NOTHING: Query = {}
Page = tuple[list[Artifact], int | None]


class Harbor(Registry):
    address = "https://harbor.example"
    advice = (
        "The namespace is the project, with or without more of the path. The account is best a robot account, with its "
        "whole name (robot$name): of a source it needs Repository: Pull and List, and Artifact: List; of a target also "
        "Repository: Push, and Tag: Delete where rules delete. Only a robot account of the system makes missing "
        "projects, which are private: Project: Create. A proxy cache is no target."
    )
    lists_digests = True
    receiver = "harbor"

    def __init__(self, client: Client, management: Management | None = None) -> None:
        super().__init__(client, management)
        self._closed: set[str] = set()
        self._unlisted = False

    def namespaces(self) -> dict[str, int]:
        """The projects that the account may see; by the catalog where it may not list them."""
        try:
            projects = list(self._all("list the projects", "/projects"))
        except (Denied, NotFound):
            return namespaces_of(self.client.catalog())
        return dict(sorted((name_of(one), int(one.get("repo_count") or 0)) for one in projects))

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        """Where a list is gone on with it is sorted here: the order of a database depends on its language."""
        if namespace == NAMESPACE_TOP:
            return  # nothing lies outside of a project
        names: Iterable[str] = self._names(project_of(namespace), listed=after is None)
        place = after or Bookmark()
        for name in names if after is None else sorted(names):
            if in_namespace(name, namespace) is not None and (after is None or name > after.last):
                place.first, place.last = place.first or name, name
                yield name

    def _names(self, project: str, *, listed: bool) -> Iterator[str]:
        if listed and self.listing is not None and self._fill(self.listing, project) and self.listing.repositories:
            yield from self.listing.repositories
            return
        seen: set[str] = set()
        operation = f"list the repositories of {project}"
        for one in self._all(operation, f"/projects/{quote(project)}/repositories", {"sort": "name"}):
            if (name := name_of(one)) not in seen:
                seen.add(name)
                yield name

    def ensure_namespace(self, namespace: str) -> None:
        if namespace == NAMESPACE_TOP:
            raise self._refusal("nothing lies outside of a project in Harbor", "Name a project in the rule.", namespace)
        project = project_of(namespace)
        try:
            there = self._is_there(project)
        except (Unauthorized, Denied):
            return  # the API does not know this account (a CLI secret is for pushes alone): the push tells
        if there:
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
            if any(name_of(one) == project and one.get("registry_id") for one in found):
                problem = f"the project {project} is a proxy cache, which takes no pushes"
                raise self._refusal(problem, harbor_words.PROXY_CACHE, project)

    def _refusal(self, problem: str, hint: str, namespace: str) -> OciError:
        refused = OciError(problem, hint=hint)
        return refused.located(self.client.side, self.client.endpoint.label, f"write to {namespace}")

    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        path = f"{API}{path_of(repository)}/artifacts/{quote(tag, safe='')}/tags/{quote(tag, safe='')}"
        try:
            self.client.manage(f"delete the tag {repository}:{tag}", "DELETE", path, check=check)
        except NotFound as error:
            if error.code not in (harbor_words.ABSENT, harbor_words.NO_REPOSITORY):
                raise  # nobody says so who knows the tags

    def resources(self, repository: str) -> Iterator[Resource]:
        for artifact in self._artifacts(repository):
            for tag in tags_of(artifact):
                pushed = moment_of(tag.get("push_time") or artifact.get("push_time"))
                yield Resource(repository, name_of(tag), str(artifact.get("digest")), pushed)

    def digests(self, repository: str) -> dict[str, str] | None:
        """Of tags that hold signatures the digest is blank where no list tells it.

        A repository without any is left to the OCI API, which knows whether it is there at all.
        """
        project = project_of(repository)
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
        return {tag: digest for one in self._artifacts(repository) for _, tag, digest in rows_of(one, repository)}

    def _taken(self, repository: str) -> dict[str, str] | None:
        if self.listing is None or not self._fill(self.listing, project_of(repository)):
            return None
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
        return self._all(f"list the artifacts of {repository}", f"{path_of(repository)}/artifacts", TAGGED)

    def _fill(self, listing: Listing, project: str) -> bool:
        """False where it does not come about just now: the repositories are listed one by one then.

        The same when it ends up empty: this Harbor is too old, or refuses, or it would cost too much.
        """
        if self._unlisted:
            return False
        try:
            listing.fill(partial(self._read_project, listing, project))
        except (Cancelled, TooManyRequests):
            raise
        except OciError as error:
            log.info("listing repositories one by one: %s", error)
            self._unlisted = True
            return False
        return True

    def _read_project(
        self, listing: Listing, project: str, has: Callable[[int], bool], put: Callable[[int, Iterable[Row]], None]
    ) -> None:
        """From the last page down: where something is deleted meanwhile, what follows moves to pages still to read."""
        path = f"/projects/{quote(project)}/artifacts"
        read = partial(self._page, f"list the artifacts of {project}", path, TAGGED)
        try:
            artifacts, total = read(1)
        except (Unauthorized, Denied, NotFound, Rejected):
            return
        pages = -(-(total or 0) // PAGE)
        if total is None or (listing.at_most is not None and pages > listing.at_most):
            return
        fewest = total

        def read_one(page: int) -> None:
            nonlocal fewest
            rows, left = read(page)
            put(page, all_rows(rows))
            fewest = min(fewest, total if left is None else left)

        _at_once((page for page in range(pages, 1, -1) if not has(page)), read_one)
        put(1, all_rows(artifacts if fewest == total else read(1)[0]))

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


def _at_once(pages: Iterable[int], read: Callable[[int], None]) -> None:
    """Some at the same time; when one fails nobody begins another, and what it raised is raised."""
    left = deque(pages)

    def read_on() -> None:
        while True:
            try:
                page = left.popleft()
            except IndexError:
                return
            try:
                read(page)
            except BaseException:
                left.clear()
                raise

    with ThreadPoolExecutor(min(PAGES_AT_ONCE, len(left)) or 1) as pool:
        for reader in [pool.submit(read_on) for _ in range(PAGES_AT_ONCE)]:
            reader.result()
