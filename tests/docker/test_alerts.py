"""docker/prometheus/: Prometheus' own tool checks the files and runs a case for each alert."""

import re
import subprocess

import pytest
import yaml

from tests.conftest import ROOT
from tests.docker.test_monitoring import ALERTS, FOLDER, program

CASES = ROOT / "tests" / "docker" / "alerts_test.yml"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", str(FOLDER / "alerts.yml")),
        ("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml")),
        ("test", "rules", str(CASES)),
    ],
    ids=["alerts", "configuration", "tests of alerts"],
)
def test_promtool_accepts(words: tuple[str, ...]) -> None:
    """Prometheus' own tool accepts the files, and each alert fires in its case of alerts_test.yml."""
    ended = subprocess.run((program("promtool"), *words), cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_has_a_case_and_says_what_to_do() -> None:
    """Each alert has a case in alerts_test.yml, a severity, a summary, and a description that names a next step."""
    cases = yaml.safe_load(CASES.read_text())["tests"]
    expected = [
        sample["labels"]
        for case in cases
        for each in case["promql_expr_test"]
        for sample in each.get("exp_samples", [])
    ]
    assert {*re.findall('alertname="([^"]+)"', " ".join(expected))} == {*ALERTS}
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert rule["annotations"]["summary"].endswith("."), name
        description = rule["annotations"]["description"]
        assert re.search("`docker compose|docs/operations.md", description), name
        assert ("`docker compose" in description) == ("`kubectl" in description), name


def test_a_rollback_and_a_refusal_are_named_as_causes() -> None:
    """The alert that both leave behind says so, and what to do: a person would look for a failed run in vain."""
    description = ALERTS["VoucherSourceNotChecked"]["annotations"]["description"]
    assert "rolled back to" in description and "refused it in Airflow" in description
    assert "go forward" in description and "silence" in description


def test_the_guide_lists_every_alert() -> None:
    """The list in docs/operations.md has as many entries as there are alerts; an API that is down is one with no API."""
    guide = (ROOT / "docs" / "operations.md").read_text()
    (listed,) = re.findall(r"has the alerts, each with what to do: (.*?)\.", guide, re.DOTALL)
    assert len(re.split(r", (?:and )?", " ".join(listed.split()))) == len(ALERTS) - 1
