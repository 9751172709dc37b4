"""The notebooks: they write the committed rules, and a test notices every changed rule."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient

from pipeline.rules.columns import COLUMNS
from pipeline.rules.rulebook import RuleBook
from sample.cells import SIZE
from sample.outcomes import with_outcomes
from tests.conftest import ROOT
from tests.pipeline.conftest import history
from tests.pipeline.rules.test_shipped_rules import ROWS, dropped_by

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
RULES = Path("pipeline", "rules.toml")
DEFINING = Path("notebooks", "02_cleaning_rules.ipynb")

# For each rule, an edit of an operator, a literal and a column: the text in its cell, and the replacement.
EDITS = [
    ("missing_total_orders", "IS NULL", "IS NOT NULL"),
    ("missing_total_orders", "IS NULL", "= 0"),
    ("missing_total_orders", "total_orders IS", "last_order_ts IS"),
    ("missing_voucher_amount", "IS NULL", "IS NOT NULL"),
    ("missing_voucher_amount", "IS NULL", "= 0"),
    ("missing_voucher_amount", "voucher_amount IS", "country_code IS"),
    ("zero_orders_with_order_dates", "NULL OR last", "NULL AND last"),
    ("zero_orders_with_order_dates", "= 0 AND", "= 1 AND"),
    ("zero_orders_with_order_dates", "last_order_ts IS", "timestamp IS"),
    ("one_order_with_two_dates", "<>", "<"),
    ("one_order_with_two_dates", "= 1 AND", "= 2 AND"),
    ("one_order_with_two_dates", "<> last_order_ts", "<> timestamp"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, sample_file: Path) -> Path:
    """Return a folder with the sample and a copy of what the notebooks need."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("pipeline", "shared", "sample", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(sample_file, folder / "history.parquet")
    return folder


def environ(copy: Path) -> dict[str, str]:
    own = {"PYTHONPATH": copy, "JUPYTER_DATA_DIR": copy / "jupyter", "VOUCHER_SOURCE": copy / "history.parquet"}
    return os.environ | {name: str(path) for name, path in own.items()}


def execute(copy: Path, name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", copy / "notebooks" / name],
        env=environ(copy),
        cwd=copy,
        check=True,
        timeout=300,
    )


def test_the_notebook_writes_the_committed_rules(copy: Path) -> None:
    """The notebook, executed in a copy of the checkout, writes exactly the bytes of pipeline/rules.toml."""
    (copy / RULES).unlink()
    execute(copy, DEFINING.name)
    assert (copy / RULES).read_bytes() == (ROOT / RULES).read_bytes(), (
        f"{RULES} is not what {DEFINING} writes: run `make rules` and commit both"
    )


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name != DEFINING.name])
def test_the_other_notebooks_run(copy: Path, name: str) -> None:
    """The other notebooks run from top to bottom and do not change the rules."""
    execute(copy, name)
    assert (copy / RULES).read_bytes() == (ROOT / RULES).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    ("columns", "found", "pictures"),
    [
        (["redeemed", "propensity"], r"\d+ effects and 0 associations", 3),
        (["redeemed"], r"\b0 effects and \d+ associations", 2),
        ([], "This history has no outcomes", 0),
    ],
)
def test_notebook_04_shows_the_effects_of_a_history(
    copy: Path, tmp_path: Path, columns: list[str], found: str, pictures: int
) -> None:
    """Notebook 04 runs on a history whether it has outcomes and propensities or not, and draws what it can of it."""
    rows = with_outcomes(pq.read_table(copy / "history.parquet"))
    path = tmp_path / "history.parquet"
    pq.write_table(rows.select([*COLUMNS, *columns]).replace_schema_metadata(None), path)
    notebook = nbformat.read(ROOT / "notebooks" / "04_effects.ipynb", 4)
    folder = {"metadata": {"path": str(copy / "notebooks")}}

    NotebookClient(notebook, timeout=120, resources=folder).execute(env=environ(copy) | {"VOUCHER_SOURCE": str(path)})

    cells = {cell.id: cell for cell in notebook.cells}
    assert said(cells["setup"])[0] == f"Source: {path}, {SIZE:,} rows"
    assert re.search(found, cells["own"].outputs[0].text)
    drawn = [cells[name].outputs[0].output_type for name in ("share-plot", "further-plot", "policies-plot")]
    assert drawn.count("display_data") == pictures


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_outputs_are_whole_and_small(name: str) -> None:
    """A committed notebook was executed once, in order, on the sample, without an error, and is small."""
    path = ROOT / "notebooks" / name
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), f"execute {name} from the top"
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert path.stat().st_size < 400_000
    assert said(cells[0])[0] == f"Source: synthetic sample, {SIZE:,} rows", f"execute {name} on the sample"


@pytest.mark.long
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_notebook_says_first_which_history_it_counts(copy: Path, tmp_path: Path, name: str) -> None:
    """Each notebook prints the path and the number of rows of a custom history before it counts anything."""
    path = tmp_path / "history.parquet"
    pq.write_table(history(*[{}] * 7), path)
    notebook = nbformat.read(ROOT / "notebooks" / name, 4)
    notebook.cells = [next(cell for cell in notebook.cells if cell.cell_type == "code")]
    folder = {"metadata": {"path": str(copy / "notebooks")}}

    NotebookClient(notebook, timeout=120, resources=folder).execute(env=environ(copy) | {"VOUCHER_SOURCE": str(path)})

    assert said(notebook.cells[0])[0] == f"Source: {path}, 7 rows"


def said(cell: nbformat.NotebookNode) -> list[str]:
    """Return the lines of the cell's first output."""
    return list(cell.outputs[0].text.splitlines())


class Kernel:
    """A kernel for the notebook that defines the rules, to execute edited cells."""

    def __init__(self, copy: Path) -> None:
        self.notebook = nbformat.read(ROOT / DEFINING, 4)
        self.sources = [cell.source for cell in self.notebook.cells if cell.cell_type == "code"]
        self.client = NotebookClient(
            self.notebook, timeout=120, resources={"metadata": {"path": str(copy / "notebooks")}}
        )

    def run(self, source: str) -> None:
        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)

    def cell(self, rule: str) -> str:
        (source,) = [source for source in self.sources if f'name="{rule}"' in source]
        return source


@pytest.fixture(scope="module")
def kernel(copy: Path) -> Iterator[Kernel]:
    """Yield a kernel that has executed the cells that load a history of seven rows and define the rules."""
    few = copy / "few.parquet"
    pq.write_table(history(*[{}] * 7), few)
    kernel = Kernel(copy)
    with kernel.client.setup_kernel(env=environ(copy) | {"VOUCHER_SOURCE": str(few)}):
        for source in [kernel.sources[0], *(source for source in kernel.sources if "bench.add(" in source)]:
            kernel.run(source)
        yield kernel


@pytest.mark.parametrize(("rule", "found", "instead"), EDITS)
def test_a_changed_rule_is_noticed(kernel: Kernel, tmp_path: Path, rule: str, found: str, instead: str) -> None:
    """An edited cell runs and its rules are accepted, but the table of rows no longer matches."""
    source = kernel.cell(rule)
    assert source.count(found) == 1
    kernel.run(source.replace(found, instead))
    kernel.run(f"from pathlib import Path; bench.save(Path({str(tmp_path / 'rules.toml')!r}))")
    kernel.run(source)

    mutant = RuleBook.load(tmp_path / "rules.toml")

    assert {each.name for each in mutant.rules} == {each.name for each in RuleBook.load().rules}
    assert dropped_by(mutant) != [expected for _, expected in ROWS], f"no row tells {instead!r} from {found!r}"
