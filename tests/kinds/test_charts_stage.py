"""What the shared tests ask of the stage; and the client as pages use it, which remember its answers."""

from sync.oci.client import Credential, Endpoint
from sync.oci.errors import Unauthorized
from sync.registries import open_registry
from sync.services.remembered import RememberingClient
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.kinds.charts import charts, package
from tests.kinds.charts_stage import ChartsStage


def test_the_stage_shows_what_it_was_given():
    with ChartsStage() as stage:
        digest = stage.add("team/apps/web", "1.0.0_a", "one")
        other = stage.add("team/apps/web", "1.1.0", "two")
        registry = stage.open("source")
        assert list(registry.repositories("team/apps")) == ["team/apps/web"]
        assert [one.tag for one in registry.resources("team/apps/web")] == ["1.0.0_a", "1.1.0"]
        found = registry.client.head_manifest("team/apps/web", "1.0.0_a")
        assert found is not None
        assert found.digest == digest != other
        assert stage.requests() == 3
        stage.open("target").delete_tag("team/apps/web", "1.0.0_a", lambda: None)
        assert list(stage.open().client.tags("team/apps/web")) == ["1.1.0"]


def test_a_manifest_is_found_by_its_digest_in_a_process_that_has_not_told_it():
    """What a page remembered is asked of another process."""
    with ChartsStage() as stage:
        digests = [stage.add("web", f"1.{number}.0", str(number)) for number in range(3)]
        assert [stage.open().client.get_manifest("web", digest).digest for digest in digests] == digests
        assert stage.open().client.head_manifest("web", f"sha256:{'0' * 64}") is None


def test_refusals_are_told_in_the_words_of_the_kind():
    with FakeChartMuseum(credential="user:secret") as museum:
        error = None
        try:
            list(charts(museum.url, credential="user:wrong").client.tags("web"))
        except Unauthorized as refusal:
            error = refusal
        assert error is not None
        assert (error.message, error.hint.partition(":")[0]) == ("unauthorized", "The chart repository refuses")


def test_answers_may_be_remembered_in_between():
    with FakeChartMuseum() as museum:
        museum.store("", package("web", "1.0.0"))
        endpoint, who = Endpoint(museum.url), Credential("user", "password")
        registry = open_registry("charts", endpoint, who, side="target", client_mixin=RememberingClient)
        assert isinstance(registry.client, RememberingClient)
        assert not registry.client.keeps_parts
        assert list(registry.repositories("/")) == ["web"]
