"""A small part of `make bench`, as a program of its own."""

import json
import os
import pstats
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.corpus import CORPORA, build
from tests.bench.least import least
from tests.commands.support import PROJECT
from tests.parts import require

# Set by the tests for their own process; the program chooses these itself.
OURS = ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


def run(*options: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *options],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(file: Path, phase: str, contestant: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (one for one in json.loads(file.read_text()) if (one["phase"], one["contestant"]) == (phase, contestant))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="it counts as only Linux does")
def test_all_copy_the_same_and_what_each_asks_is_counted(registry_binary, skopeo, tmp_path):
    figures = tmp_path / "figures.json"
    told = run("--corpus", "many-small", "--network", "loopback", "--rounds", "1", "--scale", "0.01", "--json", figures)
    size = len(build("many-small", 1, 0.01).content)
    assert f"No digest wrong: {4 * (4 * size + 10)} tags asked for" in told
    for contestant in ("ours, command", "ours, worker", "skopeo sync"):
        cold = documents(figures, "cold", contestant)
        assert cold["source"]["blobs_sent"] == cold["fewest"]["blob_bytes"]
        assert cold["target"]["requests"]["PUT manifest"] == size
        assert sum(cold["target"]["requests"].values()) >= cold["fewest"]["target_requests"]
        assert cold["usage"]["wall"] > 0 and cold["usage"]["cpu"] > 0
        # That of the client, not of the program that measures it.
        assert 10_000_000 < cold["usage"]["peak"] < 200_000_000
        new = documents(figures, "new", contestant)
        assert new["target"]["requests"]["PUT manifest"] == 10
    # The bare client is the bound: it asks the fewest requests, neither more nor less.
    for phase in ("cold", "idle"):
        bare = documents(figures, phase, "bare client")
        for side in ("source", "target"):
            assert sum(bare[side]["requests"].values()) == bare["fewest"][f"{side}_requests"]
    # A quick check trusts what the rule verified here a moment ago: it asks the target for lists of tags only.
    assert "HEAD manifest" in documents(figures, "idle", "ours, worker")["target"]["requests"]
    assert "HEAD manifest" not in documents(figures, "quick", "ours, worker")["target"]["requests"]


@pytest.mark.skipif(sys.platform != "linux", reason="it counts as only Linux does")
def test_a_far_registry_takes_round_trips_and_a_profile_sees_all_threads(registry_binary, tmp_path):
    options = "--corpus charts --network 100ms --phase cold --rounds 1 --scale 0.01 --only command"
    figures = tmp_path / "figures.json"
    run(*options.split(), "--json", str(figures), "--profile", f"{tmp_path}/profile-")
    usage = documents(figures, "cold", "ours, command")["usage"]
    # To open a connection, list repositories and tags, read the manifest, begin an upload, send it, write the tag.
    assert usage["wall"] - usage["cpu"] > 0.7
    (profile,) = tmp_path.glob("profile-*")
    # Tags are written by the engine's threads, not by the first one.
    assert "put_manifest" in pstats.Stats(str(profile)).get_stats_profile().func_profiles


def test_pages_are_measured_on_a_database_of_their_own():
    require("postgresql")
    told = run("--pages", "--scale", "0.005")
    assert "10 rules, 102 tasks" in told and "filled in" in told
    rows = [line.split() for line in told.splitlines() if line.startswith("  rules")]
    assert len(rows) == 9
    rows += [line.split() for line in told.splitlines() if line.startswith("  preview while typing, 10 rules")]
    assert len(rows) == 10
    for row in rows:
        queries, median, worst = (float(word) for word in row[-3:])
        assert 1 < queries <= 12 and 0 < median <= worst


@pytest.mark.parametrize("name", CORPORA)
def test_the_same_seed_gives_the_same_bytes(name):
    first, again, other = (build(name, seed, 0.01) for seed in (1, 1, 2))
    digests = [[item.artifact.digest for item in corpus.content] for corpus in (first, again, other)]
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])
    assert not {(item.repository, item.tag) for item in first.new} & {
        (item.repository, item.tag) for item in first.content
    }


def test_the_fewest_requests():
    corpus = build("many-small", 1, 0.01)
    repositories = len({item.repository for item in corpus.content})
    tags = len(corpus.content)
    # In each repository one base and one runtime, which five and ten repositories share; for each tag its layers.
    own = sum(2 + int(item.tag.split(".")[1]) % 2 for item in corpus.content)
    cold = least([], corpus.content)
    assert cold.source_requests == 1 + repositories + tags + own + 2 * repositories
    assert cold.target_requests == repositories + 2 * (own + 2 * repositories) + tags
    idle = least(corpus.content, [])
    assert (idle.source_requests, idle.target_requests, idle.bytes) == (1 + repositories + tags, tags, 0)
    new = least(corpus.content, corpus.new)
    assert new.blob_bytes < cold.blob_bytes
    assert new.target_requests >= tags + len(corpus.new)


def test_a_quick_check_between_two_harbors_is_measured():
    told = run("--kinds", "--scale", "0.01")
    assert "30 repositories, 1,500 tags, one worker" in told
    # A page for a hundred artifacts, and whether it answers.
    assert "source: 18 requests" in told and "target: 18 requests" in told
