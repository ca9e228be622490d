"""People who come by single sign-on: who they are here, and what the provider's groups make of them."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from sync.models import Identity
from sync.services import grants

# Columns of a user, the claims that fill them, and how long they may be.
DETAILS = (("email", "email", 254), ("first_name", "given_name", 150), ("last_name", "family_name", 150))
GROUP_NAME_LENGTH = 150
SUBJECT_LENGTH = 255


class Refused(Exception):
    """The provider vouches for this person, and still they cannot come in; the message is a sentence or two."""


def come_in(issuer: str, claims: Mapping[str, Any]) -> User:
    """The user for whom the provider vouches, made if need be, with its groups and rights as of now. Raises Refused."""
    subject = str(claims["sub"])
    if "\0" in subject or len(subject) > SUBJECT_LENGTH:
        raise Refused("The provider's number for you (sub) cannot be one.")
    try:
        with transaction.atomic():
            user = _known(issuer, subject) or _new(issuer, claims)
            if not user.is_active:
                raise Refused(f"The user {user} is not active here. A platform administrator can change that.")
            _bring_up_to_date(user, claims)
    except IntegrityError:
        raise Refused("Somebody signed in with this name at the same moment. Try again.") from None
    return user


def _known(issuer: str, subject: str) -> User | None:
    identity = Identity.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    return identity.user if identity else None


def _new(issuer: str, claims: Mapping[str, Any]) -> User:
    subject = str(claims["sub"])
    name = str(claims.get("preferred_username") or subject)
    if "\0" in name:  # of which PostgreSQL takes no question
        raise Refused("The provider calls you something that cannot be a user name here.")
    user = User.objects.filter(username=name).first()
    if user is None:
        user = _made(name)
    elif Identity.objects.filter(user=user).exists():
        raise Refused(f"The user {name} belongs to somebody else at the provider. A platform administrator can help.")
    elif not settings.OIDC_ADOPT_USERS:
        raise Refused(
            f"There is a user {name} already, who signs in with a password. Ask a platform administrator: "
            "the setting OIDC_ADOPT_USERS lets people take over users of their name."
        )
    Identity.objects.create(user=user, issuer=issuer, subject=subject)
    return user


def _made(name: str) -> User:
    user = User(username=name)
    user.set_unusable_password()
    try:
        user.full_clean(exclude=["password"])
    except ValidationError:
        raise Refused(f"The provider calls you “{name}”, which cannot be a user name here.") from None
    user.save()
    return user


def _bring_up_to_date(user: User, claims: Mapping[str, Any]) -> None:
    for column, claim, length in DETAILS:
        if isinstance(value := claims.get(claim), str):
            setattr(user, column, value.replace("\0", "")[:length])
    named = _groups(claims)
    if settings.OIDC_ADMIN_GROUP:
        user.is_superuser = settings.OIDC_ADMIN_GROUP in named
    if settings.OIDC_ADMIN_GROUP or settings.OIDC_STAFF_GROUP:
        user.is_staff = user.is_superuser or settings.OIDC_STAFF_GROUP in named
    user.save()
    if settings.OIDC_GROUPS_CLAIM:
        if settings.OIDC_CREATE_GROUPS:
            for name in named:
                Group.objects.get_or_create(name=name)
        user.groups.set(Group.objects.filter(name__in=named))
    grants.review_rules_of(user)


def _groups(claims: Mapping[str, Any]) -> set[str]:
    """Without the stroke that Keycloak begins paths with. Without the claim one is in no group."""
    told = claims.get(settings.OIDC_GROUPS_CLAIM) or []
    names = [told] if isinstance(told, str) else told
    stripped = {name.lstrip("/") for name in names if isinstance(name, str)}
    return {name for name in stripped if name and len(name) <= GROUP_NAME_LENGTH and "\0" not in name}
