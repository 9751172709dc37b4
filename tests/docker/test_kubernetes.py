"""docker/kubernetes/dask.yaml, checked without Kubernetes: its fields, and its commands run on this machine."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml
from dask.utils import parse_bytes
from distributed import Client
from packaging.requirements import Requirement

from dev.ports import free_port
from dev.processes import Processes, until
from pipeline.rules.rulebook import RuleBook
from tests.conftest import ROOT
from tests.docker.test_docker import pins

MANIFEST = ROOT / "docker" / "kubernetes" / "dask.yaml"
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text()))
NAMES = [f"{document['kind']}/{document['metadata']['name']}" for document in DOCUMENTS]
PODS = {
    document["metadata"]["name"].removeprefix("voucher-dask-"): document["spec"]["template"]
    for document in DOCUMENTS
    if document["kind"] == "Deployment"
}
CONTAINERS = {name: pod["spec"]["containers"][0] for name, pod in PODS.items()}


def found(kind: str, name: str) -> dict[str, Any]:
    return DOCUMENTS[NAMES.index(f"{kind}/voucher-dask-{name}")]


def option(name: str, wanted: str) -> str:
    """Return the value of an option in a container's arguments."""
    (value,) = [arg.partition("=")[2] for arg in CONTAINERS[name]["args"] if arg.startswith(f"--{wanted}=")]
    return str(value)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_confined(name: str) -> None:
    """Each pod meets Kubernetes' restricted policy, can write only to /tmp, and has no access to the cluster's API."""
    spec, container = PODS[name]["spec"], CONTAINERS[name]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert spec["volumes"][0]["emptyDir"]["sizeLimit"]
    assert container["resources"]["limits"].keys() >= {"memory", "ephemeral-storage"}


def test_no_secret_stands_in_the_manifest() -> None:
    """The scheduler gets no secret, and a worker gets its own from a Secret."""
    named = {name: {each["name"]: each for each in container["env"]} for name, container in CONTAINERS.items()}
    assert named["scheduler"].keys() == {"TMPDIR"}
    secrets = {name for name in named["worker"] if re.search("URL|KEY|TOKEN|PASSWORD", name)}
    assert secrets >= {"PIPELINE_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"}
    assert all(named["worker"][name]["valueFrom"]["secretKeyRef"]["name"] == "voucher-select" for name in secrets)


def test_memory_fits() -> None:
    """A pipeline that uses all memory that it may use neither pauses its worker nor exceeds the limits of the pod."""
    mib = 1 << 20
    environment = {each["name"]: each.get("value") for each in CONTAINERS["worker"]["env"]}
    limit = parse_bytes(option("worker", "memory-limit"))
    assert int(environment["VOUCHER_MEMORY_MIB"]) * mib < dask.config.get("distributed.worker.memory.pause") * limit
    resources = CONTAINERS["worker"]["resources"]
    assert limit + 256 * mib < parse_bytes(resources["limits"]["memory"] + "B")  # the nanny takes 75 MiB
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    disk = PODS["worker"]["spec"]["volumes"][0]["emptyDir"]["sizeLimit"]
    assert parse_bytes(disk + "B") < parse_bytes(resources["requests"]["ephemeral-storage"] + "B")


def test_only_airflow_and_workers_reach_the_scheduler() -> None:
    """Every open port of a pod is covered by a network policy, and the dashboard is reachable only inside its pod."""
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    client = {"voucher-select-dask": "client"}
    for name, allowed in (("scheduler", [client, labels["worker"]]), ("worker", list(labels.values()))):
        policy = found("NetworkPolicy", name)["spec"]
        assert policy["podSelector"]["matchLabels"] == labels[name]
        (rule,) = policy["ingress"]
        assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == allowed
        ports = {port["name"]: port["containerPort"] for port in CONTAINERS[name]["ports"]}
        assert [port["port"] for port in rule["ports"]] == list(ports)
        opened = {
            int(option(name, word))
            for word in ("port", "worker-port", "nanny-port")
            if f"--{word}=" in str(CONTAINERS[name]["args"])
        }
        assert opened == set(ports.values())
        assert option(name, "dashboard-address").startswith("127.0.0.1:")
        assert found("Deployment", name)["spec"]["selector"]["matchLabels"] == labels[name]
    service = found("Service", "scheduler")
    assert service["spec"]["selector"] == labels["scheduler"]
    address = f"tcp://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert CONTAINERS["worker"]["args"][0] == address
    assert f"VOUCHER_DASK={address}" in MANIFEST.read_text()


def test_the_image_has_what_it_takes() -> None:
    """The image has Dask with all dependencies, pinned in docker/airflow.lock, and the program that the probes call."""
    pinned, wanted = pins(ROOT / "docker" / "airflow.lock"), ["distributed"]
    for name in wanted:
        needed = [Requirement(text) for text in requires(name) or []]
        here = {"python_version": "3.12", "python_full_version": "3.12.0", "extra": ""}
        wanted += [
            each.name for each in needed if (not each.marker or each.marker.evaluate(here)) and each.name not in wanted
        ]
    assert {"dask", "click", "tornado"} < set(wanted)
    assert not [name for name in wanted if re.sub(r"[-_.]+", "-", name).lower() not in pinned]
    dockerfile = (ROOT / "docker" / "airflow.Dockerfile").read_text()
    probes = [
        container[probe]["exec"]["command"]
        for container in CONTAINERS.values()
        for probe in container
        if probe.endswith("Probe")
    ]
    assert {tuple(command[:2]) for command in probes} == {("python", "/opt/voucher/healthy.py")}
    assert re.search(r"^COPY .*docker/healthy.py /opt/voucher/$", dockerfile, re.MULTILINE)
    assert "PYTHONPATH=/opt/voucher" in dockerfile


@dataclass(frozen=True)
class Cluster:
    """The manifest's containers as processes on this machine: the same commands, with other addresses and folders."""

    folder: Path
    ports: dict[str, str]

    @property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.ports['8786']}"

    def here(self, word: str) -> str:
        for there, port in self.ports.items():
            word = word.replace(f":{there}", f":{port}").replace(f"={there}", f"={port}")
        for there, here in (
            ("voucher-dask-scheduler", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("$(POD_IP)", "127.0.0.1"),
            ("/tmp/", f"{self.folder}/"),
            ("/opt/voucher/", f"{ROOT}/docker/"),
        ):
            word = word.replace(there, here)
        return word

    def command(self, words: list[str]) -> list[str]:
        program = Path(sys.executable).with_name(words[0])
        return [str(program), *map(self.here, words[1:])]

    def start(self, name: str) -> None:
        container = CONTAINERS[name]
        # PYTHONPATH as in the image: workers import their own pipeline/, not code that a client sends.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(ROOT),
        }
        self.processes.start(name, self.command(container["command"] + container["args"]), environment, cwd=Path("/"))

    def healthy(self, name: str) -> bool:
        probe = self.command(CONTAINERS[name]["livenessProbe"]["exec"]["command"])
        return subprocess.run(probe, capture_output=True).returncode == 0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    there = [str(port["containerPort"]) for container in CONTAINERS.values() for port in container["ports"]]
    there += [option(name, "dashboard-address").rpartition(":")[2] for name in CONTAINERS]
    cluster = Cluster(tmp_path, {port: str(free_port()) for port in there})
    try:
        for name in CONTAINERS:
            cluster.start(name)
        yield cluster
    finally:
        for name in CONTAINERS:
            cluster.processes.stop(name)


@pytest.mark.long
def test_the_programs_do_what_they_are_there_for(cluster: Cluster) -> None:
    """Scheduler and worker start, a client's task runs with the worker's own copy of the pipeline, and both end."""
    with Client(cluster.address, timeout="10s") as client:
        client.wait_for_workers(1, timeout=10)
        assert client.submit(RuleBook.load).result(timeout=10).hash == RuleBook.load().hash
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["nthreads"] == 1
        assert worker["memory_limit"] == parse_bytes(option("worker", "memory-limit"))
        assert all(map(cluster.healthy, CONTAINERS)), cluster.processes.tail("worker")
    records = [cluster.processes.record(name) for name in CONTAINERS]
    for name in reversed(CONTAINERS):
        assert cluster.processes.stop(name)
    assert not [process for record in records if record for process in record.members()]


@pytest.mark.long
def test_a_worker_that_lost_its_scheduler_ends(cluster: Cluster) -> None:
    """A worker ends when its scheduler is gone, so that Kubernetes restarts it and it finds the next one."""
    with Client(cluster.address, timeout="10s") as client:
        client.wait_for_workers(1, timeout=10)
    assert cluster.processes.running("worker")
    cluster.processes.stop("scheduler", first=signal.SIGKILL)
    assert until(lambda: not cluster.processes.running("worker"), 15), cluster.processes.tail("worker")
