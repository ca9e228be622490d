"""What Helm 3 makes of a chart, byte for byte.

The expected bytes were written by hand from Helm's sources at v3.21.4, not by running our code:
- the order of the fields, and that empty ones are left out: the json tags of Metadata, Maintainer and Dependency
  (pkg/chart/metadata.go, dependency.go); name and repository of a dependency have no omitempty;
- white space and what cannot be printed: sanitizeString (metadata.go); versions and annotations do not go through it;
- numbers and booleans where text belongs: sigs.k8s.io/yaml 1.6, convertToJSONableObject (FormatFloat 'g', 32 bits);
- < > & as \\u003c \\u003e \\u0026: encoding/json's Marshal;
- the manifest without mediaType, layers sorted by digest: Client.Push and tagManifest (pkg/registry/client.go);
- annotations: generateChartOCIAnnotations and generateOCIAnnotations (pkg/registry/util.go): what the chart says itself
  wins, but for title and version; names sorted, as Marshal sorts maps.
The time of creation is that of Chart.yaml in the package (see make_chart).

Afterwards these and 80 other charts were pushed once by Helm's own code (v4, whose push makes the same) for comparison:
manifests and configurations were equal, but for tiny fractions in import-values, which Go writes with another exponent.
"""

import json

import pytest

from sync.oci.errors import InvalidManifest
from sync.oci.reference import digest_of
from sync.registries.charts.artifact import make_chart
from sync.registries.charts.helm_yaml import go_float, read_yaml, resolved
from sync.registries.charts.metadata import as_json, read_metadata
from tests.kinds.charts import PROVENANCE, pack

CHART_YAML = b"""\
# comments and unknown fields go
type: application
unknown: field
apiVersion: v2
name: web
version: 1.2.3+build.4
appVersion: 1.10
kubeVersion: ">=1.25.0-0 <2.0.0 & more"
description: "Tabs\\tand\\nlines, \\u200band what is \\u00e4 letter"
home: https://web.example/?a=1&b=2
sources: [https://git.example/web, https://git.example/other]
keywords: [2024, yes, on top]
deprecated: false
icon:
maintainers:
  - name: Ada
    email: ada@example.org
  - url: https://bob.example
    name: Bob
annotations:
  org.opencontainers.image.title: not taken
  org.opencontainers.image.url: https://own.example
  beta: 1e3
  alpha: true
dependencies:
  - alias: db
    name: postgresql
    version: ~12
    repository: &repository https://charts.example
    tags: [data, 7]
    enabled: true
    import-values: [all, {parent: a, child: 1.50}]
  - name: none
    repository: ""
  - name: redis
    repository: *repository
"""

CONFIG = (
    '{"name":"web","home":"https://web.example/?a=1\\u0026b=2",'
    '"sources":["https://git.example/web","https://git.example/other"],"version":"1.2.3+build.4",'
    '"description":"Tabs and lines, and what is ä letter","keywords":["2024","true","on top"],'
    '"maintainers":[{"name":"Ada","email":"ada@example.org"},{"name":"Bob","url":"https://bob.example"}],'
    '"apiVersion":"v2","appVersion":"1.1",'
    '"annotations":{"alpha":"true","beta":"1000","org.opencontainers.image.title":"not taken",'
    '"org.opencontainers.image.url":"https://own.example"},'
    '"kubeVersion":"\\u003e=1.25.0-0 \\u003c2.0.0 \\u0026 more",'
    '"dependencies":[{"name":"postgresql","version":"~12","repository":"https://charts.example","tags":["data","7"],'
    '"enabled":true,"import-values":["all",{"child":1.5,"parent":"a"}],"alias":"db"},'
    '{"name":"none","repository":""},{"name":"redis","repository":"https://charts.example"}],"type":"application"}'
).encode()

ANNOTATIONS = (
    '"annotations":{"alpha":"true","beta":"1000","org.opencontainers.image.authors":"Ada (ada@example.org), Bob",'
    '"org.opencontainers.image.created":"2025-01-01T00:00:00Z",'
    '"org.opencontainers.image.description":"Tabs and lines, and what is ä letter",'
    '"org.opencontainers.image.source":"https://git.example/web","org.opencontainers.image.title":"web",'
    '"org.opencontainers.image.url":"https://own.example","org.opencontainers.image.version":"1.2.3+build.4"}'
)


def described(media_type, content):
    return f'{{"mediaType":"{media_type}","digest":"{digest_of(content)}","size":{len(content)}}}'


def test_configuration_and_manifest_are_those_of_helm():
    content = pack({"web/Chart.yaml": CHART_YAML, "web/values.yaml": b"a: 1\n"})
    chart = make_chart(content, PROVENANCE)
    layers = [
        described("application/vnd.cncf.helm.chart.content.v1.tar+gzip", content),
        described("application/vnd.cncf.helm.chart.provenance.v1.prov", PROVENANCE),
    ]
    layers.sort(key=lambda layer: json.loads(layer)["digest"])
    config = described("application/vnd.cncf.helm.config.v1+json", CONFIG)
    expected = f'{{"schemaVersion":2,"config":{config},"layers":[{",".join(layers)}],{ANNOTATIONS}}}'
    assert chart.config.decode() == CONFIG.decode()
    assert chart.manifest.body.decode() == expected


def test_without_provenance_and_times_nothing_is_made_up():
    chart = make_chart(pack({"web/Chart.yaml": b"name: web\nversion: 1.0.0"}, modified=0))
    assert json.loads(chart.config) == {"name": "web", "version": "1.0.0", "apiVersion": "v1"}
    assert len(chart.manifest.layers) == 1
    assert chart.manifest.document["annotations"] == {
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.version": "1.0.0",
    }


def test_dependencies_of_helm_2_are_part_of_the_configuration():
    requirements = b"dependencies: [{name: db, version: 1.x, repository: 'https://a.example'}]"
    about = b"\xef\xbb\xbfapiVersion: v1\nname: web\nversion: 1.0.0"
    files = {"web/requirements.yaml": requirements, "web/Chart.yaml": about}
    assert json.loads(make_chart(pack(files)).config)["dependencies"] == [
        {"name": "db", "version": "1.x", "repository": "https://a.example"}
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.0", "1"),
        ("1.10", "1.1"),
        ("0.1", "0.1"),
        ("123456.5", "123456.5"),
        ("1234567.0", "1.234567e+06"),
        ("20240101.5", "2.0240102e+07"),
        ("0.00001", "1e-05"),
        ("1e40", "+Inf"),
        ("-2.50", "-2.5"),
        (".inf", "+Inf"),
        (".nan", "NaN"),
    ],
)
def test_versions_that_are_numbers_lose_what_numbers_lose(text, number):
    assert go_float(resolved(text)) == number


def test_plain_scalars_are_those_of_yaml_1_1_as_go_knows_it():
    texts = ["010", "0x1F", "1_000", "08", "y", "No", "~", "2024-01-01", "1:30", "0b11", "18446744073709551616", "_1"]
    assert [resolved(text) for text in texts] == [
        8, 31, 1000, 8.0, True, False, None, "2024-01-01", "1:30", 3, 18446744073709551616.0, "_1"
    ]  # fmt: skip


def test_merged_and_quoted():
    assert read_yaml(b"base: &b {a: 1, b: 2}\nown:\n  <<: *b\n  b: '3'") == {
        "base": {"a": 1, "b": 2},
        "own": {"a": 1, "b": "3"},
    }


def test_signs_are_escaped_as_go_does():
    assert as_json({"a": '<\u2028\u0001\x7f\b\n"é😀>'}) == (
        b'{"a":"\\u003c\\u2028\\u0001\x7f\\b\\n\\"' + "é😀".encode() + b'\\u003e"}'
    )


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name + 1, name + 1, b",".join([b"*%c" % name] * 10)) for name in range(97, 107)
)


@pytest.mark.parametrize(
    "text",
    [
        b"- a list",
        b"name: web",
        b"name: {}\nversion: 1.0.0",
        b"name: web\nversion: 1.0.0\nmaintainers: [null]",
        b"name: web\nversion: 1.0.0\nkeywords: one",
        b"name: web\nversion: 1.0.0\ndeprecated: 'true'",
        b"name: web\nversion: 1.0.0\nannotations: []",
        b"name: web\nversion: 1.0.0\nsources: *nowhere",
        b"name: &n [*n]",
        b"\xff\xfe\xff",
        b"name: 'web",
        b"[" * 100_000,
        BOMB,
    ],
    ids=range(13),
)
def test_what_helm_would_not_take_is_told(text):
    with pytest.raises(InvalidManifest):
        read_metadata(text)
