"""`make bench`: that it works, and that it fails on a wrong answer. What it measures is nobody's to test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.server import command
from benchmarks import load, pace
from benchmarks.published import Published
from benchmarks.servers import BARE, OURS, Server
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
            load.Caller(f"{server.url}/voucher").post(b"{}")
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
    verdicts = [line for line in ended.stdout.splitlines() if line.rstrip().endswith((" met", " NOT MET"))]
    assert len(verdicts) == 4, ended.stdout
    for told in ("/voucher during publishes", "(a) bare Flask", "(b) Flask, psycopg2", "p99", "PSS"):
        assert told in ended.stdout


def test_a_wrong_answer_ends_the_benchmark(bare: Server) -> None:
    """Whether it is asked one by one or at a rate: figures of wrong answers are worth nothing."""
    known = Published("", CUSTOMERS, {"a" * 16: [2640, 1760]})
    bare.check(CUSTOMERS, [2640, 2640])
    with pytest.raises(StackError, match="Latvia"):
        bare.check(CUSTOMERS, known.newest)
    with pytest.raises(StackError, match="2640"):
        pace.asked(bare.url, known, rate=100, seconds=0.1)
    assert pace.asked(bare.url, known, rate=100, seconds=0.1, constant=2640).p50 > 0


@pytest.mark.parametrize("tool", ["wrk", "python"])
def test_either_client_counts_answers_and_fails_on_a_refusal(
    bare: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """With wrk and without it."""
    if tool == "python":
        monkeypatch.setattr(load, "WRK", None)
    elif not load.WRK:
        pytest.skip("there is no wrk here")
    bodies = tmp_path / "bodies.jsonl"
    bodies.write_text('{"a": 1}\n{"a": 2}\n')
    assert load.rate(f"{bare.url}/voucher", bodies, 1, connections=2) > 0
    with pytest.raises(StackError):
        load.rate(f"{bare.url}/nowhere", bodies, 1, connections=2)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    """A typing error is not taken for all of them."""
    ended = subprocess.run([sys.executable, "-m", "benchmarks", "servise"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "there is no servise, only service" in ended.stderr
    assert OURS not in ended.stdout
