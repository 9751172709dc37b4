"""docker/kubernetes/api.yaml and pipeline.yaml, checked without Kubernetes against the images, settings and server."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from app.server.shutdown import DRAIN_SECONDS, LAST_ANSWERS_SECONDS
from app.server.workers import OPTIONS
from app.web.keys import PUBLIC_PATHS
from shared.environment import VARIABLES
from tests.conftest import ROOT
from tests.docker.test_docker import SERVICES

FOLDER = ROOT / "docker" / "kubernetes"
DOCUMENTS: dict[str, dict[str, Any]] = {
    f"{document['kind']}/{document['metadata']['name']}": document
    for file in ("api.yaml", "pipeline.yaml")
    for document in yaml.safe_load_all((FOLDER / file).read_text())
}
JOB = DOCUMENTS["CronJob/voucher-pipeline"]["spec"]
PODS = {
    "api": DOCUMENTS["Deployment/voucher-api"]["spec"]["template"],
    "migrate": DOCUMENTS["Job/voucher-migrate"]["spec"]["template"],
    "pipeline": JOB["jobTemplate"]["spec"]["template"],
}
CONTAINERS = {name: pod["spec"]["containers"][0] for name, pod in PODS.items()}
API, POD = CONTAINERS["api"], PODS["api"]["spec"]
READERS = {"api": "api", "migrate": "pipeline", "pipeline": "pipeline"}
OF_LIBRARIES = {"TMPDIR"} | {name for name in SERVICES["airflow-scheduler"]["environment"] if name.startswith("AWS_")}
SECRET = re.compile("URL|KEY|TOKEN|PASSWORD")


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_confined(name: str) -> None:
    """Each pod meets Kubernetes' restricted policy, writes only to its own volumes, and can't call the cluster's API."""
    spec, container = PODS[name]["spec"], CONTAINERS[name]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert all(volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"])
    assert container["resources"]["limits"].keys() >= {"memory", "ephemeral-storage"}


@pytest.mark.parametrize(("name", "image"), [("api", "api"), ("migrate", "airflow"), ("pipeline", "airflow")])
def test_a_pod_runs_as_its_image_s_user(name: str, image: str) -> None:
    """A pod has the user of its image, which is a number, and the image is one of ours."""
    users = re.findall(r"^USER (\d+)", (ROOT / "docker" / f"{image}.Dockerfile").read_text(), re.MULTILINE)
    assert PODS[name]["spec"]["securityContext"]["runAsUser"] == int(users[-1]) > 0
    assert CONTAINERS[name]["image"] == f"registry.example/voucher-select-{image}:TAG"


@pytest.mark.parametrize("name", PODS)
def test_variables_are_settings_of_the_program(name: str) -> None:
    """Every variable is a setting that the program reads, and those with a secret come from a Secret."""
    known = {each.name for each in VARIABLES if READERS[name] in each.readers} | OF_LIBRARIES
    given = {each["name"]: each for each in CONTAINERS[name]["env"]}
    assert given.keys() <= known
    secrets = {each for each in given if SECRET.search(each)}
    assert all("secretKeyRef" in given[each]["valueFrom"] for each in secrets)
    of_secrets = {each["valueFrom"]["secretKeyRef"]["name"] for each in given.values() if "valueFrom" in each}
    assert of_secrets == ({"voucher-select", "voucher-select-owner"} if name == "migrate" else {"voucher-select"})


def test_only_migrate_has_the_owner_s_address() -> None:
    """The addresses of Postgres are those that the containers of docker-compose.yml get."""
    compose = {"api": "api", "migrate": "migrate", "pipeline": "airflow-scheduler"}
    for name, service in compose.items():
        addresses = {each for each in SERVICES[service]["environment"] if each.endswith("DATABASE_URL")}
        assert {each["name"] for each in CONTAINERS[name]["env"] if each["name"].endswith("DATABASE_URL")} == addresses


@pytest.mark.parametrize("name", PODS)
def test_commands_exist(name: str) -> None:
    """The commands are those of the containers, and the program knows them."""
    command = CONTAINERS[name]["command"] + CONTAINERS[name].get("args", [])
    (of_image,) = re.findall(r"^CMD (.*)$", (ROOT / "docker/api.Dockerfile").read_text(), re.MULTILINE)
    others = {"api": yaml.safe_load(of_image), "migrate": SERVICES["migrate"]["entrypoint"]}
    assert command == others.get(name, [*others["migrate"][:-1], "run"])
    ended = subprocess.run([sys.executable, *command[1:], "--help"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_probes_ask_paths_without_a_key() -> None:
    """Probes ask paths that exist and need no key. Only readiness depends on a published run."""
    paths = {name: API[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert {*paths.values()} <= PUBLIC_PATHS
    assert all(API[name]["httpGet"]["port"] == API["ports"][0]["name"] for name in paths)


def test_a_rolling_update_loses_no_request() -> None:
    """New pods come first, and an old one has the time that the server takes to end after the Service forgot it."""
    deployment = DOCUMENTS["Deployment/voucher-api"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    sleep, seconds = API["lifecycle"]["preStop"]["exec"]["command"]
    shutdown = DRAIN_SECONDS + LAST_ANSWERS_SECONDS + int(OPTIONS["--workers-kill-timeout"])
    assert sleep == "sleep" and POD["terminationGracePeriodSeconds"] >= int(seconds) + shutdown
    budget = DOCUMENTS["PodDisruptionBudget/voucher-api"]["spec"]
    assert budget["minAvailable"] < deployment["replicas"]


def test_selectors_select_the_pods() -> None:
    """Service, Deployment, budget and policies select the pods by their labels, and the ports are those of the server."""
    labels = PODS["api"]["metadata"]["labels"]
    service, policy = DOCUMENTS["Service/voucher-api"]["spec"], DOCUMENTS["NetworkPolicy/voucher-api"]["spec"]
    selectors = [service["selector"], policy["podSelector"]["matchLabels"]]
    selectors += [
        DOCUMENTS[f"{kind}/voucher-api"]["spec"]["selector"]["matchLabels"]
        for kind in ("Deployment", "PodDisruptionBudget")
    ]
    assert all(selector == labels for selector in selectors)
    (port,) = API["ports"]
    assert service["ports"][0]["targetPort"] == policy["ingress"][0]["ports"][0]["port"] == port["name"]
    assert port["containerPort"] == int(
        re.findall(r"^EXPOSE (\d+)", (ROOT / "docker/api.Dockerfile").read_text(), re.M)[0]
    )


def test_who_may_connect() -> None:
    """Only labelled clients reach the API, nothing reaches the pipeline, and both reach Postgres and names."""
    api, pipeline = (DOCUMENTS[f"NetworkPolicy/voucher-{name}"]["spec"] for name in ("api", "pipeline"))
    assert [peer["podSelector"]["matchLabels"] for peer in api["ingress"][0]["from"]] == [
        {"voucher-select-api": "client"}
    ]
    assert "ingress" not in pipeline
    chosen = pipeline["podSelector"]["matchLabels"].items()
    assert [name for name, pod in PODS.items() if chosen <= pod["metadata"]["labels"].items()] == [
        "migrate",
        "pipeline",
    ]
    for policy, ports in ((api, {53, 5432}), (pipeline, {53, 5432, 443})):
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == ports


def test_runs_do_not_overlap() -> None:
    """A run that takes longer than a day delays the next one, and a failed one is tried again."""
    assert JOB["concurrencyPolicy"] == "Forbid"
    assert JOB["jobTemplate"]["spec"]["backoffLimit"] > 0
    assert JOB["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 24 * 3600
