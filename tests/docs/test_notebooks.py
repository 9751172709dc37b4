"""The notebooks: they write the committed rules and segments, and a test notices every changed one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from pipeline.rules.columns import COLUMNS
from pipeline.rules.kinds import Kind, from_cuts
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from sample.cells import SIZE
from sample.outcomes import with_outcomes
from tests.conftest import ROOT
from tests.pipeline.conftest import history
from tests.pipeline.rules.test_shipped_rules import ROWS, dropped_by

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
RULES, SEGMENTS = Path("pipeline", "rules.toml"), Path("pipeline", "segments.toml")
LANDS = ("Peru", "Chile")
DEFINING = {"02_cleaning_rules.ipynb": RULES, "03_segments.ipynb": SEGMENTS}

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

NOTICED = ""  # the edited cell runs, and the file is another
# Edits of the cells that define segments: the kind, the text in its cell, the replacement, and what the error says.
SEGMENT_EDITS = [
    ("frequent_segment", "[5, 14, 38]", "[5, 14, 30]", NOTICED),
    ("frequent_segment", "[5, 14, 38]", "[5, 38, 14]", "kind frequent_segment: cut 14 comes after 38"),
    (
        "frequent_segment",
        "[5, 14, 38]",
        "[0, 5, 14]",
        "kind frequent_segment: cut 0 is not a whole number of at least 1",
    ),
    ("frequent_segment", "[5, 14, 38]", "[5, 14.5, 38]", "kind frequent_segment: cut 14.5 is not a whole number"),
    (
        "frequent_segment",
        '"total_orders"',
        '"total_order"',
        "'total_order' is not one of .*; did you mean total_orders?",
    ),
    ("frequent_segment", '"total_orders"', '"days_since_first_order"', NOTICED),
    ("frequent_segment", '"frequent_segment"', '"frequency_segment"', NOTICED),
    ("frequent_segment", '"Number of orders"', '" "', "kind frequent_segment: title is empty"),
    (
        "recency_segment",
        "30, 61,",
        "30, 62,",
        "label '30-60' does not match its bounds, 30-61; change the label or the cuts",
    ),
    ("recency_segment", "121, 181]", "121]", "4 cuts make 5 segments, but there are 6 labels"),
    ("recency_segment", '"61-90"', '"0-29"', "label '0-29' does not match its bounds, 61-90"),
    ("recency_segment", '"61-90", "91-120"', '"third", "third"', "two segments have the same label, 'third'"),
    ("recency_segment", '"180+"', '"181+"', NOTICED),
    ("recency_segment", "six months", "five months", NOTICED),
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


@pytest.mark.long
@pytest.mark.parametrize(("name", "file"), DEFINING.items())
def test_a_notebook_writes_the_committed_file(copy: Path, name: str, file: Path) -> None:
    """The notebook, executed in a copy of the checkout, writes exactly the bytes of the committed file."""
    if file == SEGMENTS:  # the notebook keeps what else the file holds
        SegmentBook((Kind("other", "total_orders", from_cuts([2])),)).save(copy / file)
    else:
        (copy / file).unlink()
    execute(copy, name)
    assert (copy / file).read_bytes() == (ROOT / file).read_bytes(), (
        f"{file} is not what {name} writes: run `make rules` and commit both"
    )


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in DEFINING])
def test_the_other_notebooks_run(copy: Path, name: str) -> None:
    """The other notebooks run from top to bottom and change neither rules nor segments."""
    execute(copy, name)
    for file in DEFINING.values():
        assert (copy / file).read_bytes() == (ROOT / file).read_bytes()


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
    assert path.stat().st_size < 450_000
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
    """A kernel for a notebook that defines rules or segments, to execute edited cells."""

    def __init__(self, copy: Path, name: str) -> None:
        self.notebook = nbformat.read(ROOT / "notebooks" / name, 4)
        self.sources = [cell.source for cell in self.notebook.cells if cell.cell_type == "code"]
        self.client = NotebookClient(
            self.notebook, timeout=120, resources={"metadata": {"path": str(copy / "notebooks")}}
        )

    def run(self, source: str) -> None:
        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)

    def cell(self, name: str) -> str:
        """Return the cell that defines a rule or a kind."""
        (source,) = [source for source in self.sources if f'name="{name}"' in source]
        return source


@contextmanager
def started(copy: Path, name: str, defines: str) -> Iterator[Kernel]:
    """Start a kernel that has executed the first cell, on a history of seven rows, and the cells that define."""
    few = copy / "few.parquet"
    pq.write_table(history(*[{}] * 7), few)
    kernel = Kernel(copy, name)
    with kernel.client.setup_kernel(env=environ(copy) | {"VOUCHER_SOURCE": str(few)}):
        for source in [kernel.sources[0], *(source for source in kernel.sources if defines in source)]:
            kernel.run(source)
        yield kernel


@pytest.fixture(scope="module")
def rules_kernel(copy: Path) -> Iterator[Kernel]:
    with started(copy, "02_cleaning_rules.ipynb", "bench.add(") as kernel:
        yield kernel


@pytest.fixture(scope="module")
def segments_kernel(copy: Path) -> Iterator[Kernel]:
    with started(copy, "03_segments.ipynb", "bench.segments.kind(") as kernel:
        yield kernel


def test_the_defining_cells_write_the_committed_files(
    rules_kernel: Kernel, segments_kernel: Kernel, tmp_path: Path
) -> None:
    """The cells that define rules and kinds, executed in their order, write exactly the bytes of the committed files."""
    rules_kernel.run(f"from pathlib import Path; bench.save(Path({str(tmp_path / 'rules.toml')!r}))")
    assert (tmp_path / "rules.toml").read_bytes() == (ROOT / RULES).read_bytes()
    assert saved(segments_kernel, tmp_path) == (ROOT / SEGMENTS).read_bytes()


@pytest.mark.parametrize(("rule", "found", "instead"), EDITS)
def test_a_changed_rule_is_noticed(rules_kernel: Kernel, tmp_path: Path, rule: str, found: str, instead: str) -> None:
    """An edited cell runs and its rules are accepted, but the table of rows no longer matches."""
    source = rules_kernel.cell(rule)
    assert source.count(found) == 1
    rules_kernel.run(source.replace(found, instead))
    rules_kernel.run(f"from pathlib import Path; bench.save(Path({str(tmp_path / 'rules.toml')!r}))")
    rules_kernel.run(source)

    mutant = RuleBook.load(tmp_path / "rules.toml")

    assert {each.name for each in mutant.rules} == {each.name for each in RuleBook.load().rules}
    assert dropped_by(mutant) != [expected for _, expected in ROWS], f"no row tells {instead!r} from {found!r}"


@pytest.mark.parametrize(("kind", "found", "instead", "error"), SEGMENT_EDITS)
def test_changed_segments_are_refused_or_noticed(
    segments_kernel: Kernel, tmp_path: Path, kind: str, found: str, instead: str, error: str
) -> None:
    """An edited cell is refused with an error that names the mistake, or the file is no longer the committed one."""
    source = segments_kernel.cell(kind)
    assert source.count(found) == 1
    edited = source.replace(found, instead)
    if error:
        with pytest.raises(CellExecutionError) as refusal:
            segments_kernel.run(edited)
        assert re.search(error, str(refusal.value))
        return
    start_anew(segments_kernel)
    for each in ("frequent_segment", "recency_segment"):
        segments_kernel.run(edited if each == kind else segments_kernel.cell(each))
    assert saved(segments_kernel, tmp_path) != (ROOT / SEGMENTS).read_bytes()


@pytest.mark.parametrize("kinds", [["frequent_segment"], ["recency_segment", "frequent_segment"]])
def test_a_kind_that_is_left_out_or_moved_is_noticed(segments_kernel: Kernel, tmp_path: Path, kinds: list[str]) -> None:
    """A kind without a cell is not in the file, and kinds stand there in the order of their cells."""
    start_anew(segments_kernel)
    for kind in kinds:
        segments_kernel.run(segments_kernel.cell(kind))
    assert saved(segments_kernel, tmp_path) != (ROOT / SEGMENTS).read_bytes()


def start_anew(kernel: Kernel) -> None:
    """Forget the kinds that were defined."""
    kernel.run("bench = Workbench(bench.history)")


def saved(kernel: Kernel, folder: Path) -> bytes:
    """Return the file that the notebook's kinds make."""
    kernel.run(f"from pathlib import Path; bench.segments.save(Path({str(folder / 'segments.toml')!r}))")
    return (folder / "segments.toml").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    "rows",
    [
        [{"timestamp": f"2020-05-{number // 2 + 1:02}", "country_code": LANDS[number % 2]} for number in range(56)],
        [{}] * 7,
        [{"timestamp": None}] * 7,
        [{"voucher_amount": None}] * 7,
    ],
    ids=["two countries", "one day", "no day", "none kept"],
)
def test_notebook_03_writes_the_segments_on_any_history(copy: Path, rows: list[dict[str, Any]]) -> None:
    """However little a history tells, notebook 03 runs from top to bottom and writes the committed segments."""
    few = copy / "odd.parquet"
    pq.write_table(history(*rows), few)
    notebook = nbformat.read(ROOT / "notebooks" / "03_segments.ipynb", 4)
    folder = {"metadata": {"path": str(copy / "notebooks")}}
    (copy / SEGMENTS).unlink()

    NotebookClient(notebook, timeout=120, resources=folder).execute(env=environ(copy) | {"VOUCHER_SOURCE": str(few)})

    assert (copy / SEGMENTS).read_bytes() == (ROOT / SEGMENTS).read_bytes()
