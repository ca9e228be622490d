"""What is deleted in a source, and tasks that ask whether to delete it in the target."""

import requests

from sync.models import TaskPart
from sync.services.execute import run_slice
from tests.services.pushing import held


def delete(instance, repository, *tags):
    """Debian's registry deletes by digest only."""
    for digest in {held(instance, repository, tag) for tag in tags}:
        assert requests.delete(f"{instance.url}/v2/{repository}/manifests/{digest}", timeout=10).status_code == 202


def tags_of(instance, repository):
    listed = requests.get(f"{instance.url}/v2/{repository}/tags/list", timeout=10).json()["tags"]
    return sorted(listed or [])


def run_until_asked(task, *, parts=False):
    """Until all else is done; with `parts`, until what deletes is there to be claimed."""
    while run_slice(task, seconds=float("inf")) and not (parts and TaskPart.objects.filter(removing=True).exists()):
        pass
    task.refresh_from_db()
