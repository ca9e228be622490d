"""skopeo, as fast as it can be made to do the same."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bench.corpus import Corpus
from tests.bench.lane import Lane
from tests.bench.measure import Usage, run_timed


def version(program: Path) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class SkopeoSync:
    """One process over all repositories, named in a file, so that it remembers which layers the target has."""

    program: Path
    repositories: Sequence[str]
    name: str = "skopeo sync"

    def sync(self, lane: Lane) -> Usage:
        registry = {"tls-verify": False, "images": {repository: [] for repository in self.repositories}}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({lane.source_host: registry}, file)
            file.flush()
            words = f"--insecure-policy sync --all --src yaml --dest docker --dest-tls-verify=false {file.name}"
            return run_timed([str(self.program), *words.split(), f"{lane.target_host}/{lane.namespace}"])


@dataclass(frozen=True)
class SkopeoCopy:
    """One process for each image, one after the other."""

    program: Path
    corpus: Corpus
    name: str = "skopeo copy"

    def sync(self, lane: Lane) -> Usage:
        content = [*self.corpus.content, *(self.corpus.new if lane.phase == "new" else [])]
        usages = [self._copy(lane, f"{item.repository}:{item.tag}") for item in content]
        return sum(usages[1:], start=usages[0])

    def _copy(self, lane: Lane, image: str) -> Usage:
        words = "--insecure-policy copy --all --src-tls-verify=false --dest-tls-verify=false"
        ends = (f"docker://{lane.source_host}/{image}", f"docker://{lane.target_host}/{image}")
        return run_timed([str(self.program), *words.split(), *ends])
