"""`make bench`: that it works, and that it fails on a wrong answer. What it measures is nobody's to test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.server.workers import command
from benchmarks import __main__ as command_line
from benchmarks.pipeline.timed_runs import Loaded, Timed, compare
from benchmarks.service import latency, throughput
from benchmarks.service.published import Published
from benchmarks.service.servers import BARE, OURS, Server
from dev.ports import free_port
from dev.processes import Processes, StackError, until
from tests.conftest import ROOT

CUSTOMERS = [{"country_code": "Peru"}, {"country_code": "Latvia"}]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The reference that answers 2640 to everybody."""
    folder, port = tmp_path_factory.mktemp("bare"), free_port()
    processes = Processes(folder)
    process = processes.start(
        "bare", command("127.0.0.1", port, 2, "benchmarks.reference.bare_flask:create_app"), os.environ
    )
    server = Server(BARE, f"http://127.0.0.1:{port}", process.pid)

    def answers() -> bool:
        try:
            throughput.Caller(f"{server.url}/voucher").post(b"{}")
        except StackError:
            return False
        return True

    try:
        assert until(answers, 30), processes.tail("bare")
        assert until(lambda: server.memory().workers == 2, 30)
        yield server
    finally:
        processes.stop("bare")


def test_the_benchmark_runs_through(sample_file: Path) -> None:
    """Every server is started, asked, checked and measured, every ratio judged; nothing is left running."""
    command = [sys.executable, "-m", "benchmarks", "service", "--quick", "--source", sample_file]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(_verdicts(ended.stdout)) == 4, ended.stdout
    for told in ("/voucher during publishes", "(a) bare Flask", "(b) Flask, psycopg2", "p99", "PSS"):
        assert told in ended.stdout


def test_the_pipeline_is_measured_beside_its_references(sample_file: Path) -> None:
    """Pipeline, limit and common way each have their line, the common way came to the same, both ratios are judged."""
    command = [sys.executable, "-m", "benchmarks", "pipeline", "--quick", "--source", sample_file]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(_verdicts(ended.stdout)) == 2, ended.stdout
    starts = [line.split("  ")[0] for line in ended.stdout.splitlines()]
    for name in ("pipeline", "the limit", "the common way", "plan", "load", "audit", "publish", "prune"):
        assert name in starts, ended.stdout


def test_what_the_estimate_takes_is_measured() -> None:
    """A line for each figure of the table in docs/growing.md that is of ten million rows."""
    command = [sys.executable, "-m", "benchmarks", "estimate", "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    page = (ROOT / "docs" / "growing.md").read_text().replace("*", "")
    named = re.findall(r"^(.*?)  +[\d.]+(?: µs| bytes|%) *$", ended.stdout, re.MULTILINE)
    assert len(named) == 7, ended.stdout
    assert [name for name in named if f"| {name} |" not in page] == []


def test_growth_is_measured_size_by_size(tmp_path: Path) -> None:
    """Each size has its line, as soon as it is measured and in the end; three things are judged, and drawn."""
    command = [sys.executable, "-m", "benchmarks", "growth", "--quick"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert len(_verdicts(ended.stdout)) == 3, ended.stdout
    starts = [line.split("  ")[0] for line in ended.stdout.splitlines()]
    assert [starts.count(size) for size in ("10,000", "20,000", "40,000")] == [2, 2, 2], ended.stdout
    assert "Fixed cost: " in ended.stdout
    assert (tmp_path / ".local" / "benchmarks" / "growth-quick.png").read_bytes().startswith(b"\x89PNG")


def _verdicts(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.rstrip().endswith((" met", " NOT MET"))]


@pytest.mark.parametrize(("kept", "amount", "told"), [(1, 2640, "kept 1 rows"), (2, 1760, "differ in .*1760")])
def test_a_common_way_that_comes_to_something_else_ends_the_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: int, amount: int, told: str
) -> None:
    """Be it the rows kept or an answer: the exit code is 1, and a line says what differs."""
    loaded = Loaded(Timed(3, {}, 0), "", 2, [("Peru", "frequent_segment", "0-4", 2640.0)])
    compare(loaded, 2, [("Peru", "frequent_segment", "0-4", 2640.0)])

    def wrong(_: object) -> None:
        compare(loaded, kept, [("Peru", "frequent_segment", "0-4", amount)])

    monkeypatch.setitem(command_line.BENCHMARKS, "pipeline", wrong)
    monkeypatch.setattr("sys.argv", ["benchmarks", "pipeline"])
    assert command_line.main() == 1
    assert re.search(told, capsys.readouterr().err)


def test_growth_says_what_disk_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is made, in a line."""
    monkeypatch.setattr("sys.argv", ["benchmarks", "growth", "--rows", "500000", str(10**15)])
    assert command_line.main() == 1
    assert "1,000,000,000,000,000 rows take 250,000,004 GB" in capsys.readouterr().err


def test_a_wrong_answer_ends_the_benchmark(bare: Server) -> None:
    """Whether it is asked one by one or at a rate: figures of wrong answers are worth nothing."""
    known = Published("", CUSTOMERS, {"a" * 16: [2640, 1760]})
    bare.check(CUSTOMERS, [2640, 2640])
    with pytest.raises(StackError, match="Latvia"):
        bare.check(CUSTOMERS, known.newest)
    with pytest.raises(StackError, match="2640"):
        latency.asked(bare.url, known, rate=100, seconds=0.1)
    assert latency.asked(bare.url, known, rate=100, seconds=0.1, constant=2640).p50 > 0


@pytest.mark.parametrize("tool", ["wrk", "python"])
def test_either_client_counts_answers_and_fails_on_a_refusal(
    bare: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """With wrk and without it."""
    if tool == "python":
        monkeypatch.setattr(throughput, "WRK", None)
    elif not throughput.WRK:
        pytest.skip("there is no wrk here")
    bodies = tmp_path / "bodies.jsonl"
    bodies.write_text('{"a": 1}\n{"a": 2}\n')
    assert throughput.rate(f"{bare.url}/voucher", bodies, 1, connections=2) > 0
    with pytest.raises(StackError):
        throughput.rate(f"{bare.url}/nowhere", bodies, 1, connections=2)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    """A typing error is not taken for all of them."""
    ended = subprocess.run([sys.executable, "-m", "benchmarks", "servise"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "there is no servise, only service" in ended.stderr
    assert OURS not in ended.stdout
