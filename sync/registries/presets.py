"""Well-known registries that speak the OCI API: what a person should know of each, and what its refusals mean.

What was tried and what follows the vendors' documents alone: docs/registries.md.
"""

from collections.abc import Iterator
from typing import cast

from sync.oci.errors import Denied, NotFound, OciError, Rejected, TooManyRequests, Unauthorized
from sync.oci.list_api import Bookmark
from sync.registries.plain import PlainRegistry
from sync.registries.pulls import PullCountingClient, PullLimit

NO_CATALOG = "It lists no repositories: name them in the rule."


class Hosted(PlainRegistry):
    """Somebody else runs it: it tells of pushes in forms of its own, if at all."""

    receiver = "scripts"


class WithoutCatalog(Hosted):
    """Does not keep the list that /v2/_catalog would give, or keeps it for nobody: it is not asked for."""

    has_catalog = False

    def namespaces(self) -> dict[str, int]:
        raise self._refusal()

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        raise self._refusal()

    def _refusal(self) -> OciError:
        return OciError(
            "this kind of registry has no list of all repositories",
            side=self.client.side,
            registry=self.client.endpoint.label,
            operation="list the repositories",
            hint="Name the repositories in the rule, for example web|api.",
        )


class DockerHub(WithoutCatalog):
    address = "https://registry-1.docker.io"
    hosts = r"(registry-1|index)?\.?docker\.io"
    advice = (
        "The namespace is the user or organization; official images lie in “library”. "
        f"{NO_CATALOG} The password is a personal access token. Pulls are limited, to few for anonymous accounts."
    )

    client_class = PullCountingClient

    def pull_limit(self, *, ask: bool = False) -> PullLimit | None:
        """Docker Hub, "Usage and limits": a HEAD of its test image tells the limit and is not counted."""
        client = cast(PullCountingClient, self.client)
        if ask:
            client.head_manifest("ratelimitpreview/test", "latest")
        return client.pulls

    def explain(self, error: OciError) -> None:
        if isinstance(error, TooManyRequests):
            error.hint = (
                "Docker Hub limits pulls. It goes on when the limit allows; "
                "a user name with an access token has a higher one."
            )
        elif isinstance(error, Unauthorized):
            error.hint = "Docker Hub says 401 for what does not exist, too: compare the name, then user name and token."


class GitHub(WithoutCatalog):
    address = "https://ghcr.io"
    hosts = r"ghcr\.io"
    advice = (
        "The namespace is the user or organization in lower case. The password is a personal access token (classic) "
        f"with read:packages, and write:packages for a target. {NO_CATALOG}"
    )

    def explain(self, error: OciError) -> None:
        if isinstance(error, Denied | Unauthorized):
            error.hint = (
                "GitHub refuses: the token needs read:packages (write:packages to push), must be authorized for the "
                "organization if that uses single sign-on, and the package must grant it access."
            )


class GitLab(PlainRegistry):
    address = "https://registry.gitlab.com"
    hosts = r"registry\.gitlab\.com"
    anywhere = True
    advice = (
        "The namespace is the path of the group or project; a repository lies at the project or up to two levels "
        "below. The password is a deploy or access token with read_registry, and write_registry for a target. "
        "gitlab.com lists no repositories: name them in the rule."
    )

    def explain(self, error: OciError) -> None:
        if isinstance(error, Denied | NotFound | Unauthorized):
            error.hint = (
                "GitLab says the same for a project that does not exist and for a token without read_registry or "
                "write_registry: compare the path of the project, then the scopes of the token."
            )


class Ecr(Hosted):
    address = "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    hosts = r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)"
    advice = (
        "The user name is AWS, the password that of “aws ecr get-login-password”, which ends after 12 hours. As a "
        "target, each repository must exist first, or a repository creation template make it at the first push."
    )

    def explain(self, error: OciError) -> None:
        if isinstance(error, NotFound) and error.side == "target":
            error.hint = (
                "ECR makes no repository at a push: create it there (aws ecr create-repository), "
                "or set up a repository creation template for pushes."
            )
        elif isinstance(error, Denied | Unauthorized):
            error.hint = (
                "The password of ECR ends after 12 hours: set a new one (aws ecr get-login-password). "
                "If it is new, the role lacks this right."
            )


class Acr(Hosted):
    address = "https://name.azurecr.io"
    hosts = r"[a-z0-9-]+\.azurecr\.(io|cn|us)"
    advice = (
        "User name and password are those of a token with a scope map, a service principal (AcrPull, AcrPush), or the "
        "admin account. To list all repositories a token needs the right to the catalog."
    )

    def explain(self, error: OciError) -> None:
        if isinstance(error, Denied | Unauthorized):
            error.hint = (
                "Azure refuses: compare user name and password, whether the scope map or role allows this repository, "
                "and whether the network rules of the registry admit this machine."
            )


class Google(Hosted):
    address = "https://europe-west3-docker.pkg.dev"
    hosts = r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)"
    advice = (
        "The namespace is project/repository, and the repository must exist first. The user name is _json_key_base64 "
        "with a service account key in base64 as the password."
    )

    def explain(self, error: OciError) -> None:
        if isinstance(error, Denied | NotFound | Unauthorized):
            error.hint = (
                "Google says so for a missing repository (create it in Artifact Registry first) as well as for a "
                "missing role: artifactregistry.reader to read, artifactregistry.writer to push."
            )


class Quay(Hosted):
    address = "https://quay.io"
    hosts = r"quay\.io"
    anywhere = True
    advice = (
        "The namespace is the user or organization. The account is a robot (name+robot) with read, or with write and "
        "the right to create repositories for a target; what it creates is private."
    )

    def explain(self, error: OciError) -> None:
        if isinstance(error, Denied | Unauthorized | Rejected) and error.status in (401, 403):
            error.hint = (
                "Quay refuses: give the robot account read (or write) to this repository, and the right to create "
                "repositories in the organization if it is new."
            )
