"""What is optional in docker/kubernetes/, and the commands and examples of docs/operations.md for it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.__main__ import REFUSED
from shared.environment import VARIABLES
from tests.conftest import ROOT, missing
from tests.docker.test_kubernetes_api import DOCUMENTS, FOLDER, JOB, OF_LIBRARIES
from tests.docker.test_monitoring import program

FILES = sorted(FOLDER.glob("*.yaml"))
(GUIDE,) = re.findall(
    r"^## Kubernetes\n(.*)\Z", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL | re.MULTILINE
)
ROLES = {"169.254.170.23/32": 80, "169.254.169.254/32": 80}  # EKS Pod Identity, and the role of a node


def complete(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a file with all its optional lines, those that start with # and no space."""
    return list(yaml.safe_load_all(re.sub(r"^( *)#(?=\S)", r"\1", path.read_text(), flags=re.MULTILINE)))


def found(kind: str, name: str) -> Any:
    """Return the spec of a document of api.yaml or pipeline.yaml, with all optional lines."""
    documents = [document for path in FILES for document in complete(path)]
    (spec,) = (each["spec"] for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return spec


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_optional_lines_are_valid(path: Path) -> None:
    """With all optional lines, each document still fits Kubernetes' schema, and each pod can name a pull secret."""
    for document in complete(path):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        spec = document["spec"]
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        assert not template or template["spec"]["imagePullSecrets"]


def test_optional_settings_are_settings_of_the_pipeline() -> None:
    """The settings that a run needs only sometimes are there: links and form of notices, and Dask with its label."""
    template = found("CronJob", "voucher-pipeline")["jobTemplate"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    names = {each["name"] for each in container["env"]}
    assert names >= {"VOUCHER_PAGE_URL", "VOUCHER_NOTIFY_FORM", "VOUCHER_DASK"}
    assert names <= {each.name for each in VARIABLES if "pipeline" in each.readers} | OF_LIBRARIES
    assert template["metadata"]["labels"]["voucher-select-dask"] == "client"
    assert template["spec"]["serviceAccountName"]


def test_optional_ports_reach_what_the_settings_name() -> None:
    """The policies can let pods reach a pooler, another S3, a Dask cluster and the addresses that hand out roles."""
    rules = found("NetworkPolicy", "voucher-pipeline")["egress"]
    assert {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]} == {
        5432,
        443,
        6432,
        8786,
        9000,
    }
    blocks = {rule["to"][0]["ipBlock"]["cidr"]: rule["ports"][0]["port"] for rule in rules if "ipBlock" in str(rule)}
    assert blocks == ROLES
    assert {port["port"] for port in found("NetworkPolicy", "voucher-api")["egress"][1]["ports"]} == {5432, 6432}
    (client,) = found("NetworkPolicy", "voucher-api")["ingress"][0]["from"]
    assert client == {"podSelector": {"matchLabels": {"voucher-select-api": "client"}}, "namespaceSelector": {}}


def test_the_ingress_leads_to_the_service() -> None:
    """Everything of the host goes to the port of the Service."""
    (rule,) = found("Ingress", "voucher-api")["rules"]
    (path,) = rule["http"]["paths"]
    service = DOCUMENTS["Service/voucher-api"]
    assert path["path"] == "/"
    assert path["backend"]["service"] == {
        "name": service["metadata"]["name"],
        "port": {"name": service["spec"]["ports"][0]["name"]},
    }


def test_a_refused_run_is_not_repeated() -> None:
    """The exit code of a refused run fails the Job at once, because each repeat would leave another notice."""
    spec = JOB["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    codes = {"containerName": container["name"], "operator": "In", "values": [REFUSED]}
    assert spec["podFailurePolicy"] == {"rules": [{"action": "FailJob", "onExitCodes": codes}]}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # which the policy requires


def test_commands_run_with_the_settings_of_the_daily_run() -> None:
    """The guide's patch of the CronJob's Job waits for commands, and changes nothing else."""
    (patch,) = re.findall(r"\| *\n +(kubectl patch .*?) \|", GUIDE, re.DOTALL)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "voucher-shell"}, **JOB["jobTemplate"]}
    assert shutil.which("kubectl") or missing("kubectl is not installed: `apt-get install kubernetes-client` brings it")
    ended = subprocess.run(["sh", "-c", patch], input=json.dumps(job), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    patched = json.loads(ended.stdout)
    container = patched["spec"]["template"]["spec"]["containers"][0]
    assert container.pop("command") == ["sleep", "5h"]
    assert (
        container | {"command": ["python", "-m", "pipeline", "run"]}
        == (job["spec"]["template"]["spec"]["containers"][0])
    )
    assert patched["spec"]["template"]["metadata"] == job["spec"]["template"]["metadata"]


def test_prometheus_finds_the_pods(tmp_path: Path) -> None:
    """The guide's job has the name that the alerts expect, keeps the API's pods and port, and is valid."""
    (text,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", GUIDE, re.DOTALL)
    local = text.replace("kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: [api:8000]}]")
    assert local != text
    (tmp_path / "prometheus.yml").write_text(local)  # some builds of promtool do not know Kubernetes
    words = [program("promtool"), "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (job,) = yaml.safe_load(text)["scrape_configs"]
    (shipped,) = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == shipped["job_name"]
    label, port, _ = job["relabel_configs"]
    template = DOCUMENTS["Deployment/voucher-api"]["spec"]["template"]
    ((name, value),) = template["metadata"]["labels"].items()
    assert label["source_labels"] == [f"__meta_kubernetes_pod_label_{re.sub('[^a-z]', '_', name)}"]
    assert label["regex"] == value
    assert port["regex"] == template["spec"]["containers"][0]["ports"][0]["name"]
