"""What Harbor's refusals mean, in the words of its own pages. Only what it surely says."""

import re

from sync.oci.errors import Denied, NotFound, OciError, Unauthorized

ABSENT = "NOT_FOUND"
NO_REPOSITORY = "NAME_UNKNOWN"
PROXY_CACHE = "Choose another project as the target: one of the type Proxy Cache takes only what it fetches itself."
IMMUTABLE = (
    "A rule of the project keeps this tag as it is (Policy, Tag Immutability). Change the rule there, or leave the "
    "tag out of this one."
)
QUOTA = "The storage quota of the project is used up: raise it (Administration, Project Quotas), or delete and collect."
READ_ONLY = "Harbor is read-only for now (Administration, Configuration, System Settings, Repository Read Only)."
POLICY = "The project lets nobody pull it (Configuration, Deployment security): mend it there, or leave it out."
UPSTREAM = "It is the registry behind this proxy cache that limits requests; try again later."
CREATE = (
    "The project does not exist, and this account may not make it: give a robot account of the system the permission "
    "Project: Create, or make the project there."
)
NO_PROJECT = {
    "source": "There is no such project: compare the namespace of the rule.",
    "target": "The project does not exist there: make it there, or let a robot account of the system make it.",
}
WHO = (
    "Harbor says the same to a wrong secret and to a robot account that is disabled or expired (Administration or the "
    "project, Robot Accounts); the name of one begins with robot$."
)
MAY_NOT = (
    "Harbor says the same for a missing permission and a missing project: compare the project, then the permissions of "
    "the account (a robot account: Repository, Artifact and Tag)."
)
PERMISSION = "The account may not do this in the project: it needs Repository: Pull, and Push in a target."
SURE = (
    (401, "unauthorized to access repository", PERMISSION),
    (403, "can not push artifact to a proxy project", PROXY_CACHE),
    (412, "configured as immutable", IMMUTABLE),
    (403, "quota exceeded", QUOTA),
    (403, "read only mode", READ_ONLY),
    (412, "cannot be pulled due to configured policy", POLICY),
    (429, "upstream registry", UPSTREAM),
)


def explain(error: OciError) -> None:
    """Puts a hint into it; a missing repository gets the code that the OCI API has for it, by which others know it."""
    said = error.message.lower()
    if isinstance(error, NotFound) and error.code == ABSENT and re.search(r"repository \S+ not found", said):
        error.code = NO_REPOSITORY
    hint = next((words for status, sign, words in SURE if status == error.status and sign in said), "")
    if not hint and re.search(r"project \S+ not found", said):
        hint = NO_PROJECT.get(error.side, "")
    # What the client knows better than "401" stays.
    if hint or error.hint == type(error).hint or error.problem.startswith("the token server refuses"):
        error.hint = hint or _likely(error) or error.hint


def _likely(error: OciError) -> str:
    if isinstance(error, Denied):
        return CREATE if error.operation.startswith("create the project") else MAY_NOT
    if isinstance(error, Unauthorized):
        return WHO
    return ""
