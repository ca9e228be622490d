"""Who may do what on which instance: given and taken by those who administer it."""

from dataclasses import dataclass, field
from typing import Any, cast

from django.contrib.auth.models import Group, User
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from sync import access
from sync.access import Right
from sync.forms.access import KINDS, AccessForm, RegionPairForm
from sync.models import Instance, RegionPair, SyncRule
from sync.services import grants
from sync.views.http import Request, save_valid, saved

RULES_NAMED = 20


@dataclass
class Holder:
    """Somebody with roles on an instance."""

    kind: str
    key: int
    name: str
    rights: list[Right] = field(default_factory=list)
    inactive: bool = False


@require_safe
def overview(request: Request) -> HttpResponse:
    """The instances whose access the user gives and takes, and the pairs of regions for platform administrators."""
    return _overview(request, RegionPairForm())


def _overview(request: Request, form: RegionPairForm) -> HttpResponse:
    instances = access.administered_instances(request.user)
    platform = access.is_platform_administrator(request.user)
    if not platform and not instances.exists():
        raise Http404
    context = {
        "instances": [(instance, holders_of(instance)) for instance in instances],
        "pairs": RegionPair.objects.all() if platform else None,
        "form": form,
        "platform": platform,
    }
    return render(request, "access/overview.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def instance_access(request: Request, instance: str) -> HttpResponse:
    """GET shows who has which role, POST gives one."""
    found = access.get_instance_or_404(request.user, instance, Right.ADMINISTER)
    form = AccessForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        replaced, changed = grants.set_role(form.right, form.somebody, found)
        before = f", no longer {' and '.join(one.role for one in replaced)}" if replaced else ""
        return _told(request, found, f"{form.somebody} is now {form.right.role} on {found.name}{before}.", changed)
    context = {"instance": found, "form": form, "holders": holders_of(found), "roles": grants.ROLES}
    return render(request, "access/instance.html", context, status=422 if form.errors else 200)


@require_POST
def instance_access_remove(request: Request, instance: str) -> HttpResponse:
    found = access.get_instance_or_404(request.user, instance, Right.ADMINISTER)
    kind, _, key = request.POST.get("who", "").partition(":")
    if kind not in KINDS or not key.isdecimal() or request.POST.get("role") not in set(Right):
        raise Http404
    somebody = cast(User | Group, get_object_or_404(KINDS[kind], pk=key))
    right = Right(request.POST["role"])
    changed = grants.revoke(right, somebody, found)
    return _told(request, found, f"{somebody} is no longer {right.role} on {found.name}.", changed)


def _told(request: Request, instance: Instance, message: str, changed: grants.Reviewed) -> HttpResponse:
    told = f"{message} {changed.told_to(request.user)}".strip()
    mine = access.Right.ADMINISTER in access.rights_on(request.user, instance)
    return saved(request, reverse("instance-access", args=[instance.name]) if mine else reverse("home"), told)


@require_POST
def region_pair_add(request: Request) -> HttpResponse:
    access.only_for_platform_administrators(request.user)
    form = RegionPairForm(request.POST)
    if "sure" not in request.POST and not RegionPair.objects.exists() and form.is_valid():
        return _ask_for_first_pair(request, form.instance)

    def save() -> HttpResponse:
        changed = grants.allow_regions(form.save(commit=False))
        return saved(
            request, reverse("access"), f"Rules may copy from {form.instance}. {changed.told_to(request.user)}".strip()
        )

    return save_valid(form, save) or _overview(request, form)


def _ask_for_first_pair(request: Request, pair: RegionPair) -> HttpResponse:
    """It forbids all others at once: who adds it is told which rules stop."""
    forbidden = grants.forbidden_by(pair)
    stopping = _named([rule for rule in forbidden if not rule.suspension])
    stopped = _named([rule for rule in forbidden if rule.suspension])
    return render(request, "access/first_pair.html", {"pair": pair, "stopping": stopping, "stopped": stopped})


def _named(rules: list[SyncRule]) -> dict[str, Any]:
    return {"count": len(rules), "rules": rules[:RULES_NAMED], "more": len(rules[RULES_NAMED:])}


@require_POST
def region_pair_remove(request: Request, pair_id: int) -> HttpResponse:
    access.only_for_platform_administrators(request.user)
    pair = get_object_or_404(RegionPair, pk=pair_id)
    last = grants.is_last(pair)
    if last and "sure" not in request.POST:
        # Without any pair everything is allowed again: who removes the last one is told so.
        return render(request, "access/last_pair.html", {"pair": pair, "freed": _named(grants.freed_without_pairs())})
    changed = grants.forbid_regions(pair)
    told = [f"The pair {pair} is removed.", "Rules may join any regions again." if last else ""]
    return saved(request, reverse("access"), " ".join(filter(None, [*told, changed.told_to(request.user)])))


def holders_of(instance: Instance) -> list[Holder]:
    found: dict[tuple[str, int], Holder] = {}
    for somebody, right in grants.granted_on(instance):
        kind = "user" if isinstance(somebody, User) else "group"
        inactive = isinstance(somebody, User) and not somebody.is_active
        holder = Holder(kind, somebody.pk, str(somebody), inactive=inactive)
        found.setdefault((kind, somebody.pk), holder).rights.append(right)
    return sorted(found.values(), key=lambda holder: (holder.kind == "group", holder.name))
