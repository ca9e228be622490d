"""What the error codes of TCR's management API mean: which error of ours, and the next step."""

from collections.abc import Mapping
from typing import TypeVar

from sync.oci.errors import (
    Denied,
    NotFound,
    OciError,
    RegistryAnswer,
    Rejected,
    ServerFault,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    UntrustedCertificate,
    scrub,
)

T = TypeVar("T")

# A namespace that somebody else has made: which of them comes is not documented for each action.
CONFLICTS = frozenset(
    {
        "InvalidParameter.ErrNamespaceExist",
        "InvalidParameter.ErrorNameExists",
        "FailedOperation.ErrorTcrResourceConflict",
        "InternalError.ErrorTcrResourceConflict",
        "InternalError.ErrConflict",
        "InternalError.ErrorConflict",
    }
)
NO_NAMESPACE = "ResourceNotFound.ErrNoNamespace"

NETWORK = "ClientNetworkError"
# By code, or by its part before the dot.
_KINDS: dict[str, type[RegistryAnswer]] = {
    "RequestLimitExceeded": TooManyRequests,
    "InternalError": ServerFault,
    "ServerNetworkError": ServerFault,
    "FailedOperation.DbError": ServerFault,
    "FailedOperation.DependenceError": ServerFault,
    "FailedOperation.ErrorGetDBDataError": ServerFault,
    "FailedOperation.GetDBDataError": ServerFault,
    "FailedOperation.GetTcrClient": ServerFault,
    "AuthFailure": Unauthorized,
    "AuthFailure.UnauthorizedOperation": Denied,
    "UnauthorizedOperation": Denied,
    "FailedOperation.ErrorTcrUnauthorized": Denied,
    "InternalError.ErrUnauthorized": Denied,
    "InternalError.ErrorTcrUnauthorized": Denied,
    "ResourceNotFound": NotFound,
    "InternalError.ErrNotExist": NotFound,
    # Refusals, although their codes call them internal.
    "InternalError.ErrConflict": Rejected,
    "InternalError.ErrorConflict": Rejected,
    "InternalError.ErrorTcrResourceConflict": Rejected,
    "InternalError.ErrorOverLimit": Rejected,
    "InternalError.ErrorTcrInvalidMediaType": Rejected,
}
_QUOTA = "A quota of the TCR instance is used up: delete what is not needed, or have it raised in the TCR console."
_NAME = (
    "TCR takes 2 to 30 lower-case letters and digits as a namespace, with single “.”, “_” or “-” between them, and "
    "keeps some names to itself: give the rule another target namespace."
)
_ELSEWHERE = "Compare region and registry ID of this instance with the TCR console."
_HINTS = {
    "RequestLimitExceeded": "The TCR API limits requests per second; try again later.",
    "InternalError": "The fault is on the side of the TCR API; try again later.",
    "ServerNetworkError": "Something on the way, or the TCR API itself, is out of order; try again later.",
    "AuthFailure": "Compare SecretId and SecretKey of this instance, and whether the key is enabled in CAM.",
    "AuthFailure.SignatureExpire": "Set the clock of this host: Tencent Cloud takes requests for five minutes only.",
    "ResourceNotFound": _ELSEWHERE,
    "ResourceNotFound.ErrNoNamespace": "The namespace does not exist: create it in the TCR console.",
    "ResourceNotFound.ErrNoRepo": "The repository does not exist.",
    "ResourceNotFound.ErrNoTag": "The tag does not exist.",
    "InvalidParameter.ErrorRegistryName": _ELSEWHERE,
    "InvalidParameter.UnsupportedRegion": _ELSEWHERE,
    "UnsupportedRegion": _ELSEWHERE,
    "InvalidParameter.ErrorNameIllegal": _NAME,
    "InvalidParameter.ErrorNameReserved": _NAME,
    "InvalidParameter.ErrNamespaceReserved": _NAME,
    "InternalError.ErrorOverLimit": _QUOTA,
    "LimitExceeded": _QUOTA,
    "OperationDenied.QuotaOverLimit": _QUOTA,
    "ResourceInsufficient.ErrorInstanceNotRunning": "The TCR instance does not run: look at it in the TCR console.",
}


class ApiUnreachable(Unreachable):
    """The registry itself may answer all the same: its tasks are not to wait until it is back."""

    hint = "Check the API address, the proxy, and whether it can be reached from here."

    @property
    def outage(self) -> bool:
        return False


def error_of(code: str, message: str, action: str) -> OciError:
    """The error that a code of the API, or of the SDK, stands for."""
    if code == NETWORK:
        return _unreachable(message)
    answer = _of(_KINDS, code) or Rejected
    problem = f"the TCR API answered {scrub(code)}" + (f" “{scrub(message)}”" if message else "")
    hint = _right(action) if answer is Denied else _of(_HINTS, code)
    return answer(problem, code=code, message=message, hint=hint or "")


# By what the words of the SDK's libraries have in them.
_NETWORK_WORDS = {
    "NameResolutionError": "the host name is not known",
    "Connection refused": "the connection was refused",
    "timed out": "no answer in time",
    "ProxyError": "the proxy does not let it through",
    "Connection aborted": "the connection broke",
    "Connection reset": "the connection broke",
}


def _unreachable(message: str) -> Unreachable:
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return UntrustedCertificate(
            "the certificate of the TCR API does not verify",
            hint="Check the API address, and whether a proxy on the way shows a certificate of its own.",
        )
    known = (said for mark, said in _NETWORK_WORDS.items() if mark.lower() in message.lower())
    return ApiUnreachable(f"the TCR API does not answer: {next(known, scrub(message))}")


def _of(table: Mapping[str, T], code: str) -> T | None:
    return table.get(code) or table.get(code.partition(".")[0])


def _right(action: str) -> str:
    return f"Allow the sub-account of this SecretId the action tcr:{action} for this registry, in CAM."
