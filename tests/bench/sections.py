"""What is measured: which corpora in which networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.bench.lane import PHASES


@dataclass(frozen=True)
class Section:
    """`skopeo`: whether it takes part where others do; over slow networks it takes minutes."""

    corpus: str
    network: str
    phases: Sequence[str] = PHASES
    skopeo: bool = False


WHOLE = (
    Section("few-large", "loopback", skopeo=True),
    Section("many-small", "loopback", skopeo=True),
    Section("multi-arch", "loopback", skopeo=True),
    Section("charts", "loopback", skopeo=True),
    Section("many-small", "100ms", ("idle",)),
    Section("hundred", "100ms", ("cold",)),
    Section("spread", "100ms", ("cold",)),
)


def choose(corpora: Sequence[str], networks: Sequence[str], phases: Sequence[str]) -> list[Section]:
    """Those of WHOLE that are named, blank meaning all; named by corpus and network, others as well."""
    known = {(section.corpus, section.network): section for section in WHOLE}
    wanted = [(corpus, network) for corpus in corpora for network in networks]
    if not wanted:
        wanted = [key for key in known if key[0] in (corpora or key) and key[1] in (networks or key)]
    chosen = [known.get(key) or Section(*key) for key in wanted]
    in_order = [phase for phase in PHASES if phase in phases]
    return [replace(section, phases=in_order) if in_order else section for section in chosen]
