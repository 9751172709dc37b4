"""The commands of README.md and docs/, executed in a copy of the checkout as a new user does; links and settings."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pyarrow.parquet as pq
import pytest
import requests

from dev.ports import free_port
from dev.processes import until
from proofs.interrupts import at_a_terminal
from proofs.support.checkout import copy_checkout
from sample.parts import write_parts
from shared.environment import VARIABLES
from tests.conftest import ROOT

DOCS = {path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
PAGES = [*DOCS, *map(ROOT.joinpath, ("CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"))]
FENCES = [
    (path.name, text[: fence.start()], fence[1], fence[2])
    for path, text in DOCS.items()
    for fence in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
]
# The commands of operations.md are executed by tests/compose/test_operations.py.
BLOCKS = [text for page, _, language, text in FENCES if language == "sh" and page != "operations.md"]
# tests/compose executes `docker compose up`; the other command needs the internet.
ELSEWHERE = ("docker compose up", "make up VOUCHER_SOURCE=")
PORTS = {name: str(free_port()) for name in ("API_PORT", "AIRFLOW_PORT", "POSTGRES_PORT", "S3_PORT")}
ANSWER = json.loads(next(text for _, _, language, text in FENCES if language == "json"))


@dataclass(frozen=True)
class Newcomer:
    """A new user at a shell in `folder`, who uses other than the default ports."""

    folder: Path

    def execute(self, block: str) -> str:
        """Run a block and return its output. Stop at the first command that fails, and fail the test."""
        for host in ("localhost", "127.0.0.1"):
            block = block.replace(f"{host}:8000", f"{host}:{PORTS['API_PORT']}")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.folder,
            env=kept | PORTS | (self.alien if re.search("^make ", block, re.MULTILINE) else self.own),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, f"{block}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    @property
    def own(self) -> dict[str, str]:
        """The variables of commands without make: the copy's code, although the environment is the checkout's."""
        return {"PYTHONPATH": str(self.folder)}

    @property
    def alien(self) -> dict[str, str]:
        """The variables of make: what a shell has set for another Python, which would break this one."""
        alien = self.folder / "alien"
        alien.mkdir(exist_ok=True)
        for name in ("pandas", "psutil", "sitecustomize"):
            (alien / f"{name}.py").write_text("raise SystemExit('an alien module')")
        return {"PYTHONPATH": str(alien), "PYTHONHOME": str(alien), "PYTHONWARNINGS": "error", "PYTHONUSERBASE": "x"}

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"http://127.0.0.1:{PORTS['API_PORT']}/readyz", timeout=10).json()
        return found

    def presses_ctrl_c(self) -> None:
        """Interrupt a first `make up` while it creates the sample. The S3 stand-in may have no bucket yet."""
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | PORTS
        with at_a_terminal(["make", "up"], self.folder, environ) as process:
            assert until((self.folder / ".local" / "sample.new").exists, 60, every=0.01)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate()[0]
        assert process.returncode
        assert "Interrupted. Ending the current steps." in said
        assert "Traceback" not in said

    def published(self) -> str:
        return str(self.health()["run_id"])


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Yield a user after `make up` in the environment of these tests. `make test` proves that make can create one."""
    folder = tmp_path_factory.mktemp("newcomer") / "voucher-select"
    copy_checkout(folder)
    (folder / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    (folder / ".venv" / ".ready").touch()
    newcomer = Newcomer(folder)
    try:
        newcomer.presses_ctrl_c()
        said = newcomer.execute("make up")
        assert said.splitlines()[-1] == json.dumps(ANSWER, separators=(",", ":"))
        yield newcomer
    finally:
        newcomer.execute("make clean")


def block(start: str) -> str:
    """Return the only block with this beginning."""
    (found,) = [text for text in BLOCKS if text.startswith(start)]
    return found


def test_every_block_is_executed_here_or_named() -> None:
    """Every block has a test or is listed in ELSEWHERE."""
    known = ("make up   ", "curl ", "printf ", ". .local/env", "make rules", "python -m pipeline plan", *ELSEWHERE)
    assert [text for text in BLOCKS if not text.startswith(known)] == []


def test_a_block_without_a_language_is_not_executed_and_says_so() -> None:
    """The text before a block says that the tests do not execute it if, and only if, the block has no language."""
    said = [" ".join(before.lower().split()).endswith("not executed in the tests:") for _, before, _, _ in FENCES]
    assert said == [not language for _, _, language, _ in FENCES]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub creates them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """A link leads to an existing file and, if it names one, to an existing heading. File names in code exist, too."""
    text = page.read_text()
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not heading or heading in anchors(path), f"{target}#{heading}"
    named = re.findall(r"`((?:app|docs|docker|notebooks|pipeline|shared|tests)/[\w./-]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_table_has_every_setting() -> None:
    """Each variable that the pipeline or the API reads is in docs/settings.md, and the code names no unlisted one."""
    setting = r"VOUCHER_[A-Z0-9_]+|TODAY|[A-Z]*_?DATABASE_URL"
    files = [path for folder in ("app", "pipeline", "shared") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in files for name in re.findall(rf'"({setting})"', path.read_text())}
    read = {variable.name for variable in VARIABLES if {"pipeline", "api"} & {*variable.readers}}
    assert read == {variable.name for variable in VARIABLES if variable.meaning}
    assert named <= {variable.name for variable in VARIABLES}


@pytest.mark.long
def test_the_customers_are_answered(newcomer: Newcomer) -> None:
    """The API answers the curl commands, and each of many customers with its reason or its problem."""
    first, second, of_a_run, of_a_file = (text for text in BLOCKS if text.startswith("curl "))
    assert json.loads(newcomer.execute(first)) == ANSWER
    assert json.loads(newcomer.execute(second)) == ANSWER
    assert json.loads(newcomer.execute(of_a_run.replace("RUN", newcomer.published())))["run_status"] == "current"
    told, problem = map(json.loads, newcomer.execute(block("printf ")).splitlines())
    assert told["voucher_amount"] == ANSWER["voucher_amount"]
    assert problem["status"] == 422
    (newcomer.folder / "customers.csv").write_text("country_code,total_orders\nPeru,3\nPeru,none\n")
    newcomer.execute(of_a_file)
    answer, without = (newcomer.folder / "answers.csv").read_text().splitlines()[1:]
    assert answer.startswith(f"Peru,3,{ANSWER['voucher_amount']},")
    assert without.startswith("Peru,none,,")


@pytest.mark.long
def test_the_same_without_airflow(newcomer: Newcomer) -> None:
    """The command line finds the stack through .local/env, and the published run stays."""
    before = newcomer.published()
    newcomer.execute(block(". .local/env"))
    assert newcomer.published() == before


@pytest.mark.long
def test_runs_one_can_trust(newcomer: Newcomer) -> None:
    """A run can be planned, forced, listed and rolled back, and then the run of a pinned day is published again."""
    newcomer.execute(". .local/env\nTODAY=2020-05-31 python -m pipeline run")
    pinned = newcomer.execute(". .local/env\npython -m pipeline runs")
    run_id = next(line.split()[1] for line in pinned.splitlines() if line.startswith("*"))
    newcomer.execute(
        ". .local/env\n" + block("python -m pipeline plan").replace("RUN", run_id).replace("…", "as agreed")
    )
    assert until(lambda: newcomer.published() == run_id, 5)


@pytest.mark.long
def test_a_changed_rule_is_run(newcomer: Newcomer) -> None:
    """`make rules` writes the notebook's rules, and the next run uses them."""
    notebook = newcomer.folder / "notebooks" / "02_cleaning_rules.ipynb"
    text = notebook.read_text()
    before = newcomer.published()
    assert "one_order_with_two_dates" in text
    notebook.write_text(text.replace("one_order_with_two_dates", "one_order_of_two_dates"))
    newcomer.execute(block("make rules"))
    assert "one_order_of_two_dates" in (newcomer.folder / "pipeline" / "rules.toml").read_text()
    assert "one_order_of_two_dates" in (newcomer.folder / "README.md").read_text()
    assert newcomer.published() != before


KIND = next(text for _, _, _, text in FENCES if text.startswith("bench.segments.kind("))


@pytest.mark.long
def test_a_new_kind_is_one_cell(newcomer: Newcomer) -> None:
    """A cell in notebook 03 is all that a kind needs: requests, page, /segments and OpenAPI have it after `make up`."""
    before, path = newcomer.published(), newcomer.folder / "notebooks" / "03_segments.ipynb"
    notebook = nbformat.read(path, 4)
    last = max(number for number, cell in enumerate(notebook.cells) if "bench.segments.kind(" in cell.source)
    cell = nbformat.v4.new_code_cell(KIND.replace("first_order", "first_orders"))
    notebook.cells.insert(last + 1, cell)
    nbformat.write(notebook, path)
    said = newcomer.execute("make rules 2>&1 || true")
    assert (
        "03_segments.ipynb failed: SegmentError: kind tenure_segment: measure 'days_since_first_orders' is not" in said
    )
    assert "Traceback" not in said

    cell.source = KIND
    nbformat.write(notebook, path)
    newcomer.execute(block("make rules"))

    url = f"http://127.0.0.1:{PORTS['API_PORT']}"
    kind = {"country_code": "Peru", "segment_name": "tenure_segment"}
    answer = requests.post(f"{url}/voucher?explain=1", json=kind | {"first_order_ts": "2020-01-01"}, timeout=10)
    missing = requests.post(f"{url}/voucher", json=kind | {"total_orders": 3}, timeout=10)
    spec = requests.get(f"{url}/openapi.json", timeout=10).json()
    page = requests.get(url, params={"country": "Peru"}, timeout=10).text

    assert answer.json()["segment"] == "365+"
    assert (
        answer.json()["because"]
        .split(", so segment")[0]
        .endswith(f" days from the first order to {answer.json()['reference_day']}")
    )
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "first_order_ts")
    assert '<h3 id="kind-3">Days since the first order <code>tenure_segment' in page
    assert '<span class="title">customers of more than a year</span>' in page
    assert spec["components"]["schemas"]["TenureCustomer"]["required"][-1] == "first_order_ts"
    segments = requests.get(f"{url}/segments?country=Peru", timeout=10).text
    assert "tenure_segment" in segments
    assert "`tenure_segment`" in (newcomer.folder / "README.md").read_text()

    there = newcomer.published()
    newcomer.execute(f". .local/env\npython -m pipeline rollback {before} --reason 'to try it'")
    assert f"are those of run {there}, which was rolled back" in newcomer.execute("make up")
    newcomer.execute(f". .local/env\npython -m pipeline rollback {there} --reason 'and forward'")
    assert "rolled back" not in newcomer.execute("make up")


# Executes the first cell of notebook 01 in the environment that `make notebook` gives to Jupyter.
FIRST_CELL = """
import os, sys
import nbformat
from nbclient import NotebookClient
from dev.__main__ import STATE
from dev.commands.notebooks import environment
from dev.stack.stack import Stack

notebook = nbformat.read("notebooks/01_explore.ipynb", 4)
notebook.cells = [next(cell for cell in notebook.cells if cell.cell_type == "code")]
folder = {"metadata": {"path": "notebooks"}}
NotebookClient(notebook, resources=folder).execute(env=environment(Stack(STATE, dict(os.environ))))
print(notebook.cells[0].outputs[0].text)
"""


@pytest.mark.long
def test_a_history_of_ones_own_stays(newcomer: Newcomer) -> None:
    """Once set, a custom source is used by `make rules`, `notebook` and `up` in each new shell, and after `make down`.

    Only an explicit command brings the sample back, and the run records the reason.
    """
    history = newcomer.folder / "own"
    for part in write_parts(history, rows=60_000, parts=2):
        pq.write_table(pq.read_table(part).replace_schema_metadata(None), part)  # without the mark of the sample
    look = f".venv/bin/python -c '{FIRST_CELL}'"

    def source() -> str:
        notebook = (newcomer.folder / "notebooks" / "02_cleaning_rules.ipynb").read_text()
        return re.search("Source: .*, 60,000 rows", notebook)[0]

    newcomer.execute("make up VOUCHER_SOURCE=./own/")
    own = newcomer.health()
    said = newcomer.execute(f"exec 2>&1\n{block('make rules')}")
    assert "WARNING" not in said

    assert (own["sample"], newcomer.health()["run_id"]) == (False, own["run_id"])
    assert source() == f"Source: {history}/, 60,000 rows"
    assert f"Source: {history}/, 60,000 rows" in newcomer.execute(look)
    assert f"Source        {history}/\n" in newcomer.execute("make status")

    said = newcomer.execute("make up VOUCHER_SOURCE=own/gone.parquet 2>&1 || true")
    assert f"{history}/gone.parquet: no such file" in said
    assert "`make up VOUCHER_SOURCE=sample` goes back to the sample" in said
    newcomer.execute("make down")
    assert f"Source: {history}/, 60,000 rows" in newcomer.execute(look)
    said = newcomer.execute("make up")
    assert newcomer.health()["run_id"] == own["run_id"]
    assert f"Answers come from run {own['run_id']} of {history}/" in said

    said = newcomer.execute("make up VOUCHER_SOURCE=sample")
    assert "SAMPLE DATA" in said
    assert newcomer.health()["sample"]
    assert "make up VOUCHER_SOURCE=sample" in newcomer.execute(". .local/env\npython -m pipeline runs")
    assert "Source: synthetic sample, 511,427 rows" in newcomer.execute(look)
