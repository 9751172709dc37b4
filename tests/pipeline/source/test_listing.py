"""Which files a folder, prefix or pattern selects: the same parts and the same messages in S3 and on disk."""

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import run
from pipeline.settings import Settings
from pipeline.source.listing import is_part, may_hold, split
from pipeline.source.parts import find_parts, list_parts
from pipeline.source.s3 import SourceError
from tests.conftest import Bucket
from tests.pipeline.conftest import history

NOBODY = 65534

# Sixty entries: files in a folder, and keys in S3 with the same names. The names in FOLDERS end in "/".
PARTS = (
    *(f"2020/05/{day:02}.parquet" for day in range(1, 11)),
    *("a.parquet", "B.PARQUET", "c.parq", "d.pq", "e.parquet.gzip", "f.gz.parquet", "g.snappy.parquet"),
    "h.parquet.zst",
    *("day.parquet/part-0.snappy.parquet", "day.parquet/part-1.snappy.parquet", "_day=1/x.parquet"),
    *("deep/er/still/i.parquet", "empty.parquet", "history (1).parquet", "a[b].parquet", "ô.parquet"),
)
LINKS = ("link.parquet", "linked/2019/a.parquet", "linked/2019/b.parquet")
NOT_PARQUET = (
    *("a.parquet.bak", "a.parquet.crc", "a.parquet.md5", "a.parquet.json", "a.parquet.dvc", "a.parquet.sha256"),
    *("a.parquet~", "a.parquet.tmp", "a.parquet.part", "a.parquet.crdownload", "a.parquet.2019", "a.parquet-old"),
    *("c", "d.snappy", "notes.txt", "parquet", "day.parquet/000000_0"),
)
HIDDEN = (
    *("_SUCCESS", ".DS_Store", "_temporary/0/e.parquet", "_temporary/0/f.parquet", ".hidden.parquet"),
    "deep/_x.parquet",
    *("day.parquet/_metadata", "lost+found/z.parquet"),
)
FOLDERS = ("2021/", "2022.parquet/", "deep/none/", "_staging/", "2023/", ".cache/")
LEFT_OUT = (
    "left out: 17 files that are not Parquet by name (a.parquet-old, a.parquet.2019, a.parquet.bak, and 14 more); "
    "9 hidden names (.DS_Store, .cache/, .hidden.parquet, and 6 more)"
)
DAYS = PARTS[:10]
DAY = ("day.parquet/part-0.snappy.parquet", "day.parquet/part-1.snappy.parquet")
PATTERNS = {
    "**/*.parquet": (
        sorted({*PARTS, *LINKS} - {"B.PARQUET", "c.parq", "d.pq", "e.parquet.gzip", "h.parquet.zst"}),
        "1 file that is not Parquet by name (day.parquet/000000_0); "
        "7 hidden names (.cache/, .hidden.parquet, _staging/, and 4 more)",
    ),
    "*.parquet": (
        [*DAY, *(f"{name}.parquet" for name in ("a", "f.gz", "g.snappy", "empty", "history (1)", "a[b]", "ô", "link"))],
        "1 file that is not Parquet by name (day.parquet/000000_0); 2 hidden names (.hidden.parquet, "
        "day.parquet/_metadata)",
    ),
    "a.parquet*": (
        ["a.parquet"],
        "12 files that are not Parquet by name (a.parquet-old, a.parquet.2019, a.parquet.bak, and 9 more)",
    ),
    "linked/**": (["linked/2019/a.parquet", "linked/2019/b.parquet"], ""),
    "l*/": (["linked/2019/a.parquet", "linked/2019/b.parquet"], "1 hidden name (lost+found/)"),
    "2020*/": (DAYS, ""),
    "2020/0[5-9]/0*": (DAYS[:9], ""),
    "2*/**/1?.parquet": (DAYS[9:], ""),
    "d*": (
        [*DAY, "d.pq"],
        "2 files that are not Parquet by name (d.snappy, day.parquet/000000_0); 1 folder that the pattern fits (deep/); "
        "1 hidden name (day.parquet/_metadata)",
    ),
    "[cd]": (["c"], ""),
    "?.snappy": (["d.snappy"], ""),
    "a[b].parquet": (["a[b].parquet"], ""),
    "_temp*/**/e*": (["_temporary/0/e.parquet"], ""),
    "a.parquet.bak": (["a.parquet.bak"], ""),
}


@pytest.fixture(params=["S3", "disk"])
def place(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> Callable[..., str]:
    """Return a function that stores files by name, in S3 or on disk, and returns the address without a final "/"."""

    def put(files: dict[str, bytes]) -> str:
        for name, content in files.items():
            if request.param == "S3":
                bucket.put(name, content)
            elif name.endswith("/"):
                (tmp_path / name).mkdir(parents=True, exist_ok=True)
            else:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_bytes(content)
        return f"s3://{bucket.name}" if request.param == "S3" else str(tmp_path)

    return put


def sixty(place: Callable[..., str]) -> str:
    """Store the sixty entries below history/; return the root. On disk, LINKS are links to a file and a folder."""
    names = [*PARTS, *NOT_PARQUET, *HIDDEN, *FOLDERS]
    assert len(names) + len(LINKS) == 60
    root = place({f"history/{name}": b"" if "empty" in name else name.encode() for name in names})
    if root.startswith("s3://"):
        return place({f"history/{name}": b"link" for name in LINKS} | {"history/deep_$folder$": b""})
    place({f"elsewhere/{name}": b"link" for name in ("x", "y/2019/a.parquet", "y/2019/b.parquet")})
    Path(root, "history/link.parquet").symlink_to("../elsewhere/x")
    Path(root, "history/linked").symlink_to("../elsewhere/y")
    return root


def real(root: str, name: str) -> str:
    """Return the address of the part with this name; on disk, it is the file that the links lead to."""
    return f"{root}/{name}" if root.startswith("s3://") else str(Path(root, name).resolve())


def as_nobody(call: Callable[[], object]) -> str:
    """Make the call as an ordinary user in a child process; return the text of its SourceError, or '' without one."""
    receive, send = os.pipe()
    if not (child := os.fork()):
        said = "no answer"
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            call()
            said = ""
        except SourceError as error:
            said = str(error)
        finally:
            os.write(send, said.encode())
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a folder that every user can enter, unlike pytest's folders."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    for path, folders, _ in os.walk(folder):  # each folder before its contents
        for each in (Path(path, name) for name in folders):
            if not each.is_symlink():
                each.chmod(0o755)
    shutil.rmtree(folder)


def test_sixty_entries_give_the_same_parts_in_s3_and_on_disk(place: Callable[..., str]) -> None:
    """A folder and a prefix with the same entries give the same parts, and the same message about the others."""
    root = sixty(place)
    found = find_parts(f"{root}/history/")
    assert [part.uri for part in found.parts] == sorted(real(root, f"history/{name}") for name in (*PARTS, *LINKS))
    assert found.left_out == LEFT_OUT


def test_patterns_fit_the_same_in_s3_and_on_disk(place: Callable[..., str]) -> None:
    """A pattern selects the same parts in S3 and on disk, and gives the same message about the others."""
    root = sixty(place)
    names = {real(root, f"history/{name}"): name for name in (*PARTS, *LINKS, *NOT_PARQUET, *HIDDEN)}
    for pattern, (fitting, left_out) in PATTERNS.items():
        found = find_parts(f"{root}/history/{pattern}")
        assert sorted(names[part.uri] for part in found.parts) == sorted(fitting), pattern
        assert found.left_out == (left_out and f"left out: {left_out}"), pattern


@pytest.mark.parametrize("address", ["history/", "history/**/*.parquet", "history/lake/day=1/"])
def test_sixty_entries_with_a_delta_log_are_refused(place: Callable[..., str], address: str) -> None:
    """A Delta table among the entries, or around the address, stops the run with the same error in S3 and on disk."""
    root = sixty(place)
    place({"history/lake/_delta_log/00.json": b"{}", "history/lake/day=1/part-00000-aaaa-c000.snappy.parquet": b""})
    with pytest.raises(SourceError) as error:
        find_parts(f"{root}/{address}")
    assert str(error.value) == (
        f"{root}/{address} is a Delta table, or holds one: its log says which of its files count, and rows that were "
        "deleted or replaced are in the others. Export a plain copy, or name the live files: one file, or a pattern "
        "that spells out how their names begin"
    )


TABLES = {
    "a Delta table": ["t/_delta_log/00000000000000000000.json"],
    "a Hudi table": ["t/.hoodie/hoodie.properties"],
    "an Iceberg table": ["t/metadata/v2.metadata.json"],
    "a Paimon table": ["t/snapshot/snapshot-1", "t/schema/schema-0"],
    "the output of a Spark stream": ["t/_spark_metadata/0"],
    "the storage of a lakeFS repository": ["t/_lakefs/dummy"],
    "the output of a Databricks write that was not finished": ["t/data/_started_12", "t/data/_committed_11"],
}


@pytest.mark.parametrize(("kind", "log"), TABLES.items())
def test_a_table_with_a_log_of_its_own_is_refused(place: Callable[..., str], kind: str, log: list[str]) -> None:
    """Every address above, at or in such a table is refused; a pattern that spells out file names gets a warning."""
    files = ["t/data/part-1.parquet", "t/data/day=1/part-2.parquet"]
    root = place(dict.fromkeys([*log, *files, "plain/part-3.parquet"], b"bytes"))
    addresses = ("", "t/", "t/data/", "t/data/day=1/", "t/data/*.parquet", "t/**/*.parquet", "**", "*/*/[a-z]*.p*")
    for address in addresses:
        with pytest.raises(SourceError, match=f"is {kind}, or holds one: its log says"):
            find_parts(f"{root}/{address}")
    assert not find_parts(f"{root}/plain/").warning
    assert not find_parts(f"{root}/plain/*.parquet").warning
    named = find_parts(f"{root}/t/data/part-1*.parquet")
    assert [part.uri for part in named.parts] == [f"{root}/t/data/part-1.parquet"]
    assert f"names files of {kind}; its log is not read: each file that fits counts" in named.warning
    assert not find_parts(f"{root}/t/data/part-1.parquet").warning


@pytest.mark.parametrize(
    "names",
    [
        ("base_0000002/000000_0.parquet", "delta_0000003_0000003_0000/000000_0.parquet"),
        ("day=1/delta_0000003_0000003/000000_0.parquet",),
        ("delete_delta_0000001_0000001/a.parquet", "b.parquet"),
    ],
)
def test_a_transactional_hive_table_is_refused(place: Callable[..., str], names: tuple[str, ...]) -> None:
    """A transactional Hive table is refused, because some of its folders delete rows of other folders."""
    root = place(dict.fromkeys((f"h/{name}" for name in names), b"bytes"))
    for address in ("h/", "h/**/*.parquet"):
        with pytest.raises(SourceError, match="is a transactional Hive table"):
            find_parts(f"{root}/{address}")


def test_what_only_looks_like_a_table_is_read(place: Callable[..., str]) -> None:
    """A finished Databricks write, a folder named metadata and names similar to Hive's are not treated as tables."""
    root = place(
        dict.fromkeys(
            ["x/_started_7", "x/_committed_7", "x/a.parquet", "x/metadata/b.parquet", "x/metadata/schema.json"], b""
        )
        | dict.fromkeys(["x/snapshot/c.parquet", "x/base_20240514/d.parquet", "x/delta_force.parquet"], b"")
    )
    assert len(list_parts(f"{root}/x/")) == 5


def test_a_delta_table_below_folders_that_a_pattern_skips_is_of_no_interest(place: Callable[..., str]) -> None:
    """A pattern is refused because of a table only if it selects files of that table."""
    root = place(dict.fromkeys(["a.parquet", "lake/_delta_log/0.json", "lake/b.parquet"], b""))
    assert [part.uri for part in list_parts(f"{root}/*.parquet")] == [f"{root}/a.parquet"]
    with pytest.raises(SourceError, match="is a Delta table"):
        list_parts(f"{root}/**/*.parquet")


def test_the_way_out_of_a_delta_table_gives_its_answer(
    settings: Callable[..., Settings], query: Callable[..., list[Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pattern counts only the live files' rows; `plan` logs that it ignored the table's log and what it left out."""
    table = tmp_path / "delta"
    (table / "_delta_log").mkdir(parents=True)
    (table / "_delta_log" / "0.json").write_text("{}")
    for name, amount in (("aaaa", 1000.0), ("bbbb", 2640.0)):
        pq.write_table(history(*[{"voucher_amount": amount}] * 6), table / f"part-0-{name}.parquet")
    shutil.copy(table / "part-0-aaaa.parquet", table / "part-0-bbbb.parquet.bak")
    with pytest.raises(SourceError, match="is a Delta table"):
        run.plan(settings(f"{table}/"))
    caplog.set_level(logging.INFO, "pipeline")
    run.run(settings(f"{table}/part-*-bbbb*"), "test")
    assert query("SELECT DISTINCT voucher_amount::int, max(rows) OVER () FROM voucher.segment") == [(2640, 6)]
    assert "plan: left out: 1 file that is not Parquet by name (part-0-bbbb.parquet.bak)" in caplog.messages
    assert any("names files of a Delta table; its log is not read" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        *(("", f"x.{ending}", True) for ending in ("parquet", "parq", "pq", "PARQUET", "parquet.gz", "pq.zst")),
        *(("", f"x.{ending}", False) for ending in ("parquet.xz", "parquets", "parquet.snappy.bak", "orc", "pqt")),
        *(
            ("", name, False)
            for name in ("parquet", ".parquet", "x.parquet.", "x.parquet ", "x.parquet.gz.gz", "xparquet")
        ),
        *(("", name, False) for name in ("..data/x.parquet", "a/_b/c.parquet", "_x=1.parquet/.y.parquet")),
        *(("", name, True) for name in ("a_b/c.parquet", "_year=2020/_month=05/c.parquet", "a//b.parquet")),
        *(("*", name, True) for name in ("x.parquet", "000000_0", "20200514_093000_00012_abcde", "part-00000")),
        *(
            ("*", name, False)
            for name in ("x.csv", "x~", "history-old.bak", "x.parquet.lock", ".x", "_x", "a/x.parquet")
        ),
        *(("*.gz", name, expected) for name, expected in (("000000_0.gz", True), ("x.parquet.gz", True), ("x", False))),
        *(("x.*", name, expected) for name, expected in (("x.parquet", True), ("x.snappy", False), ("x.tmp", False))),
        *((f"*{ending}", f"x.parquet{ending}", False) for ending in (".bak", "~", ".crc", ".sha512", ".partial")),
        *(("2020-*", name, True) for name in ("2020-01", "2020-01.parquet", "2020-01.parquet/part-0.parquet")),
        *(("a**.parquet", name, expected) for name, expected in (("ab.parquet", True), ("ab/c.parquet", False))),
        *(("*/_x/*.pq", name, expected) for name, expected in (("a/_x/b.pq", True), ("_a/_x/b.pq", False))),
    ],
)
def test_the_rule_for_names(pattern: str, name: str, expected: bool) -> None:
    """`is_part` applies the rule for folders, with '' as the pattern, and the rule for patterns."""
    assert is_part(name, split(pattern)[1]) == expected


@pytest.mark.parametrize(
    ("pattern", "folder", "expected"),
    [
        *(("", "a/", True), ("*.pq", "a/", False), ("*.pq", "a.pq/", True), ("*/x.pq", "a/", True)),
        *(("*/x.pq", "a/b/", False), ("**/x.pq", "a/b/", True), ("2*/**/x.pq", "1999/", False)),
        *(("2*/**/x.pq", "2020/a/b/", True), ("2*/", "2020/a/", True), ("2*/", "1999/", False)),
    ],
)
def test_folders_that_a_pattern_does_not_ask_for_are_not_entered(pattern: str, folder: str, expected: bool) -> None:
    """`may_hold` excludes folders outside the pattern, so that an unreadable one among them does not stop the run."""
    assert may_hold(folder, pattern) == expected


@pytest.mark.parametrize("address", ["", "**/*.parquet", "*/*.parquet", "2*/", "2021/b.parquet"])
def test_a_folder_that_may_not_be_read_stops_the_run_by_its_name(open_folder: Path, address: str) -> None:
    """The error names an unreadable folder, which may hold parts; a pattern that doesn't ask for the folder works."""
    for name in ("2020/a.parquet", "2021/b.parquet"):
        (open_folder / name).parent.mkdir()
        (open_folder / name).write_bytes(b"rows")
    (open_folder / "2021").chmod(0o700 if os.getuid() == 0 else 0)
    assert f"{open_folder}/2021" in (said := as_nobody(lambda: list_parts(f"{open_folder}/{address}")))
    assert "can't be read: Permission denied" in said
    assert not as_nobody(lambda: list_parts(f"{open_folder}/2020/"))
    assert not as_nobody(lambda: list_parts(f"{open_folder}/*0/*.parquet"))
    open_folder.chmod(0o700 if os.getuid() == 0 else 0)
    assert f"{open_folder}" in as_nobody(lambda: list_parts(f"{open_folder}/{address}"))


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    """A folder and a pattern both follow links to folders, enter a folder that contains itself once, and list a file as
    one part, even if several links lead to it.
    """
    (tmp_path / "archive" / "2020").mkdir(parents=True)
    (tmp_path / "links").mkdir()
    (tmp_path / "archive" / "2020" / "a.parquet").write_bytes(b"rows")
    (tmp_path / "links" / "b.parquet").write_bytes(b"rows")
    (tmp_path / "links" / "2020").symlink_to("../archive/2020")
    (tmp_path / "links" / "again").symlink_to("../archive/2020")
    (tmp_path / "links" / "latest.parquet").symlink_to("b.parquet")
    (tmp_path / "links" / "loop").symlink_to("../links")
    (tmp_path / "archive" / "2020" / "up").symlink_to("../../links")
    expected = [str(tmp_path / "archive/2020/a.parquet"), str(tmp_path / "links/b.parquet")]
    for address in ("", "**/*.parquet", "**"):
        assert [part.uri for part in list_parts(f"{tmp_path}/links/{address}")] == expected
    assert [part.uri for part in list_parts(f"{tmp_path}/links/20*/*.parquet")] == expected[:1]
    assert [part.uri for part in list_parts(f"{tmp_path}/links/loop/latest.parquet")] == expected[1:]


def test_a_folder_reached_by_a_link_in_a_delta_table_is_refused(tmp_path: Path) -> None:
    """A link into a Delta table is refused, although the table's log is above the linked folder."""
    (tmp_path / "delta" / "_delta_log").mkdir(parents=True)
    (tmp_path / "delta" / "_delta_log" / "0.json").touch()
    (tmp_path / "delta" / "day=1").mkdir()
    (tmp_path / "delta" / "day=1" / "a.parquet").touch()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "today").symlink_to("../delta/day=1")
    with pytest.raises(SourceError, match="is a Delta table"):
        list_parts(f"{tmp_path}/links/")


@pytest.mark.parametrize("address", ["", "*.parquet", "**", "x.parquet"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nowhere", r"/x\.parquet is a link to /nowhere, which does not exist; correct or remove it"),
        ("circle", r"/x\.parquet can't be read: Too many levels of symbolic links"),
        ("pipe", r"/x\.parquet is a named pipe; a part must be a file"),
        ("socket", r"/x\.parquet is a socket; a part must be a file"),
        ("device", r"/x\.parquet is a device; a part must be a file"),
    ],
)
def test_what_is_no_file_stops_the_run_by_its_name(open_folder: Path, kind: str, message: str, address: str) -> None:
    """The error names a broken link or special file; reading it would never end, or end in a traceback."""
    path = open_folder / "x.parquet"
    (open_folder / "a.parquet").touch()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        path.symlink_to({"nowhere": "/nowhere", "circle": path.name, "device": "/dev/zero"}[kind])
    with pytest.raises(SourceError, match=message):
        list_parts(f"{open_folder}/{address}")
    path.rename(open_folder / ".x.parquet")
    assert len(list_parts(f"{open_folder}/")) == 1


def test_a_link_to_nowhere_that_is_not_asked_for_stops_nothing(tmp_path: Path) -> None:
    """A broken link stops an address that asks for folders, as it may have led to one; another pattern ignores it."""
    (tmp_path / "a.parquet").touch()
    (tmp_path / "2020").symlink_to("gone")
    assert len(list_parts(f"{tmp_path}/*.parquet")) == 1
    for address in ("", "**/*.parquet", "*/*.parquet"):
        with pytest.raises(SourceError, match=r"/2020 is a link to gone, which does not exist"):
            list_parts(f"{tmp_path}/{address}")


def test_odd_names_on_disk_are_named_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd names and a working directory like a pattern are read; impossible and non-UTF-8 names are errors."""
    folder = tmp_path / "odd[x]"
    folder.mkdir()
    (folder / "a b#?%41.parquet").touch()
    monkeypatch.chdir(folder)
    expected = [str(folder / "a b#?%41.parquet")]
    for address in (
        "*.parquet",
        ".",
        "./",
        "**",
        "a b#?%41.parquet",
        str(folder),
        f"{folder}/",
        f"file://{tmp_path}/odd%5Bx%5D/",
    ):
        assert [part.uri for part in list_parts(address)] == expected, address
    for address in (
        "~nobody_of_this_name/x",
        "x" * 300,
        "a\0b",
        f"{folder}/{'y' * 300}*",
        "file://host/x",
        "nowhere/*",
    ):
        with pytest.raises(SourceError):
            list_parts(address)
    (folder / os.fsdecode(b"caf\xe9.parquet")).touch()
    with pytest.raises(SourceError, match=r"caf\\xe9\.parquet.*: the name is not UTF-8; rename the file"):
        list_parts(f"{folder}/")
