"""TCR Enterprise in front of a real registry: the management API, and who may push.

Requests, responses and error codes follow the document "Tencent Container Registry, API 2019-09-24" and the models of
tencentcloud-sdk-python-tcr; signatures "Signature v3" (TC3-HMAC-SHA256). What the lists tell is asked of the registry
behind, so that both sides agree. Not documented, and chosen here: what a push into a missing namespace is answered
(Harbor's words), and that DeleteImage takes other tags of the same digest along (the worst that it could do).
"""

import hashlib
import hmac
import json
import re
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self

import requests
from tencentcloud.tcr.v20190924 import models

from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.support import Relay

SECRET_ID, SECRET_KEY = "AKIDexample", "the-secret-key-marker"
REGION, REGISTRY_ID = "ap-guangzhou", "tcr-12345678"
LARGEST_PAGE = 100
MODELS = {"NamespaceList": "TcrNamespaceInfo", "RepositoryList": "TcrRepositoryInfo", "ImageInfoList": "TcrImageInfo"}
WRITES = ("POST", "PUT", "PATCH")


class Refused(Exception):
    """code, message."""


class FakeTcr:
    """`url`: the registry; `api`: the management API. namespaces: whether each is public. asked: how often, by action.

    refuse(): errors that the next calls of an action get. meeting: where calls of an action wait for each other.
    before: what happens before they are looked at. first_page: how pages of namespaces are counted. page: the most that
    a page holds. short_names: repositories are listed without their namespace. totals: what TotalCount says, by list.
    """

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self.forget()
        self._numbers = count(1)
        self._lock = threading.Lock()
        self.management = FakeRegistry()
        self.management.script("POST", "/", self._answer)
        self.data = Relay(behind)
        for method in WRITES:
            self.data.script(method, "/v2/", self._push)

    def forget(self) -> None:
        """As at the beginning; what the registry behind has stays."""
        self.namespaces: dict[str, bool] = {}
        self.asked: Counter[str] = Counter()
        self.meeting: dict[str, threading.Barrier] = {}
        self.before: dict[str, Callable[[], object]] = {}
        self.first_page = 1
        self.page = LARGEST_PAGE
        self.short_names = False
        self.totals: dict[str, int] = {}
        self._refusals: dict[str, deque[tuple[str, str]]] = {}
        self._always: dict[str, tuple[str, str]] = {}

    @property
    def url(self) -> str:
        return self.data.url

    @property
    def api(self) -> str:
        return self.management.url

    def refuse(self, action: str, *codes: str, message: str = "no", always: bool = False) -> None:
        """The codes once each, in this order; with `always` the last one from then on."""
        if always:
            self._always[action] = codes[-1], message
        self._refusals[action] = deque((code, message) for code in codes)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.management)
            stack.enter_context(self.data)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _push(self, request: Received) -> Answer:
        named = re.match(r"/v2/([^/]+)/", request.target)
        if named and named[1] not in self.namespaces:
            error = {"code": "NOT_FOUND", "message": f"project {named[1]} not found"}
            return Answer(404, {"Content-Type": "application/json"}, json.dumps({"errors": [error]}).encode())
        return self.data.forward(request)

    def _answer(self, request: Received) -> Answer:
        action = request.headers["X-TC-Action"]
        self.asked[action] += 1
        response: dict[str, Any] = {"RequestId": f"request-{next(self._numbers)}"}
        try:
            response |= self._act(action, request)
            check_shape(f"{action}Response", response)
        except Refused as refused:
            code, message = refused.args
            response["Error"] = {"Code": code, "Message": message}
        return Answer(headers={"Content-Type": "application/json"}, body=json.dumps({"Response": response}).encode())

    def _act(self, action: str, request: Received) -> dict[str, Any]:
        check_signature(request)
        asked = json.loads(request.body)
        check_shape(f"{action}Request", asked)
        if action in self.meeting:
            self.meeting[action].wait(10)
        if action in self.before:
            self.before[action]()
        refusals = self._refusals.get(action)
        if refusals or action in self._always:
            raise Refused(*(refusals.popleft() if refusals else self._always[action]))
        if asked.get("RegistryId") != REGISTRY_ID or request.headers["X-TC-Region"] != REGION:
            raise Refused("ResourceNotFound", "there is no such registry")
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "DescribeNamespaces": self._describe_namespaces,
            "CreateNamespace": self._create_namespace,
            "DescribeRepositories": self._describe_repositories,
            "DescribeImages": self._describe_images,
            "DeleteImage": self._delete_image,
        }
        return actions[action](asked)

    def _describe_namespaces(self, asked: dict[str, Any]) -> dict[str, Any]:
        """By a part of the name, as the console searches."""
        part = asked.get("NamespaceName", "")
        names = [name for name in sorted(self.namespaces) if part in name]
        listed = [{"Name": name, "Public": self.namespaces[name], "NamespaceId": 1} for name in names]
        return self._page("NamespaceList", listed, asked, self.first_page)

    def _create_namespace(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["NamespaceName"]
        if not re.fullmatch(r"(?=.{2,30}$)[a-z0-9]+([._-][a-z0-9]+)*", name):
            raise Refused("InvalidParameter.ErrorNameIllegal", "the name is not allowed")
        with self._lock:
            if name in self.namespaces:
                raise Refused("InvalidParameter.ErrNamespaceExist", "it exists")
            self.namespaces[name] = asked["IsPublic"]
        return {}

    def _describe_repositories(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked.get("NamespaceName")
        if wanted is not None and wanted not in self.namespaces:
            raise Refused("ResourceNotFound.ErrNoNamespace", "no such namespace")
        names = requests.get(f"{self._behind}/v2/_catalog?n=1000", timeout=10).json()["repositories"]
        listed = [
            {"Name": name[self.short_names and len(space) + 1 :], "Namespace": space, "Public": self.namespaces[space]}
            for name in names if (space := name.partition("/")[0]) in self.namespaces and wanted in (None, space)
        ]  # fmt: skip
        return self._page("RepositoryList", listed, asked)

    def _describe_images(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"{asked['NamespaceName']}/{asked['RepositoryName']}"
        tags = requests.get(f"{self._behind}/v2/{name}/tags/list", timeout=10)
        if tags.status_code == 404:
            raise Refused("ResourceNotFound.ErrNoRepo", "no such repository")
        listed = [
            {"ImageVersion": tag, "Digest": self._digest(name, tag), "Kind": "IMAGE", "Size": 1,
             "UpdateTime": "2026-03-04 05:06:07.891011 +0000 UTC"}
            for tag in sorted(tags.json()["tags"] or [])
        ]  # fmt: skip
        found = [one for one in listed if asked.get("Digest") in (None, one["Digest"])]
        return self._page("ImageInfoList", found, asked)

    def _delete_image(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"{asked['NamespaceName']}/{asked['RepositoryName']}"
        digest = self._digest(name, asked["ImageVersion"])
        if not digest:
            raise Refused("ResourceNotFound.ErrNoTag", "no such tag")
        requests.delete(f"{self._behind}/v2/{name}/manifests/{digest}", timeout=10).raise_for_status()
        return {}

    def _digest(self, name: str, tag: str) -> str:
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"}
        found = requests.head(f"{self._behind}/v2/{name}/manifests/{tag}", headers=accept, timeout=10)
        return found.headers.get("Docker-Content-Digest", "")

    def _page(self, key: str, listed: list[dict[str, Any]], asked: dict[str, Any], first: int = 1) -> dict[str, Any]:
        """Offset is the number of the page; where they are counted from 1, page 0 is the same as page 1."""
        for entry in listed:
            check_shape(MODELS[key], entry)
        size = min(int(asked.get("Limit", 20)), self.page)
        start = max(int(asked.get("Offset", first)) - first, 0) * size
        return {key: listed[start : start + size], "TotalCount": self.totals.get(key, len(listed))}


def check_shape(model: str, document: dict[str, Any]) -> None:
    """Raises AssertionError for a field that Tencent's model of it does not have."""
    assert {f"_{name}" for name in document} <= vars(getattr(models, model)()).keys(), model


def check_signature(request: Received) -> None:
    """Raises Refused where the request is not signed by SECRET_KEY, and AssertionError where the key is in it."""
    assert SECRET_KEY.encode() not in request.body
    assert SECRET_KEY not in str(request.headers)
    scheme, _, rest = request.headers["Authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    secret_id, day, service, end = parts["Credential"].split("/")
    if secret_id != SECRET_ID:
        raise Refused("AuthFailure.SecretIdNotFound", "there is no such SecretId")
    moment = datetime.fromtimestamp(int(request.headers["X-TC-Timestamp"]), UTC)
    assert (scheme, service, end, day) == ("TC3-HMAC-SHA256", "tcr", "tc3_request", f"{moment:%Y-%m-%d}")
    if not hmac.compare_digest(_signature(request, day, parts["SignedHeaders"]), parts["Signature"]):
        raise Refused("AuthFailure.SignatureFailure", "the signature does not fit")


def _signature(request: Received, day: str, signed: str) -> str:
    """ "Signature v3", steps 1 to 3."""
    headers = "".join(f"{name}:{request.headers[name].lower()}\n" for name in signed.split(";"))
    payload = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join(("POST", "/", "", headers, signed, payload))
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{day}/tcr/tc3_request"
    wanted = "\n".join(("TC3-HMAC-SHA256", request.headers["X-TC-Timestamp"], scope, hashed))
    key = f"TC3{SECRET_KEY}".encode()
    for part in (day, "tcr", "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, wanted.encode(), "sha256").hex()
