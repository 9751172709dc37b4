"""The command line, `python -m pipeline COMMAND`: run, plan, runs, rollback, migrate."""

import argparse
import gc
import getpass
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from pipeline import PipelineError
from pipeline.publish import publication, runs
from pipeline.publish.database import Database
from pipeline.settings import Settings, address, database_url, owner_url, reject_default_secrets, warn
from shared.addresses import redact
from shared.environment import is_production

log = logging.getLogger("pipeline")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 1 after one line on stderr with what is wrong and what to do."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Output(sys.stdout)])
    for talkative in ("alembic", "botocore"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    commands: Mapping[str, Callable[[Any], None]] = {
        "run": _run,
        "plan": _plan,
        "runs": _runs,
        "rollback": _rollback,
        "migrate": _migrate,
    }
    try:
        warn()
        commands[options.command](options)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
    else:
        return 0
    gc.collect()  # the error's frames hold a DuckDB: left to the end of the process, it would report a leak
    return 1


class _Output(logging.StreamHandler[Any]):
    """Standard output. If its reader exits, as `head` does, further output is discarded and the command continues."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            super().handleError(record)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="read the history, apply the rules, publish the answers")
    run.add_argument("--force", metavar="REASON", type=_reason, help="publish even if an audit fails, or withdrawn")
    plan = commands.add_parser("plan", help="the same without publishing; shows which answers would change")
    for command in (run, plan):
        command.add_argument("--source", help="an object, folder or pattern, instead of VOUCHER_SOURCE")
    runs = commands.add_parser("runs", help="list the runs and the publications")
    runs.add_argument("--limit", type=int, default=20, help="of how many, newest first (20)")
    rollback = commands.add_parser("rollback", help="publish an earlier run again, or go forward to one rolled back")
    rollback.add_argument("run", metavar="RUN", help="its id, as `runs` shows it, or the first 6 digits or more")
    rollback.add_argument("--reason", type=_reason, required=True, help="kept in the log of publications")
    commands.add_parser("migrate", help="bring the tables to the newest version (as their owner: DATABASE_URL)")
    return parser


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a reason, for those who read it later")
    return _printable(text.strip())


def _actor() -> str:
    """Return who runs this command. In a container the user may only have a number."""
    try:
        return _printable(getpass.getuser())
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _printable(text: str) -> str:
    """Replace what isn't UTF-8, because no table can store it."""
    return text.encode(errors="replace").decode()


def _run(options: Any) -> None:
    from pipeline.run import run  # noqa: PLC0415  (what a rollback doesn't need takes a second to import)

    run(Settings.read(options.source), _actor(), options.force)


def _plan(options: Any) -> None:
    from pipeline import run  # noqa: PLC0415

    settings = Settings.read(options.source)
    run_id = run.plan(settings)
    if blocked := run.blocked(settings, run_id):
        log.info("nothing is published: run %s %s", run_id, blocked)
        return
    run.load(settings, run_id)
    try:
        run.audit(settings, run_id)
    finally:
        log.info("\n%s\n", run.preview(settings, run_id))
    if publication.current(Database(settings.database_url)) != run_id:
        named = options.source if options.source == redact(options.source or "") else "…"
        again = f"run --source {shlex.quote(named)}" if options.source else "run"
        log.info("nothing is published; publish it with `python -m pipeline %s`", again)


def _runs(options: Any) -> None:
    database = Database(database_url(os.environ))
    listed = [
        {
            "": "*" if run["current"] else "",
            "run": run["run_id"],
            "status": "loaded" if run["status"] == "loading" and run["finished_at"] else run["status"],
            "planned (UTC)": _time(run["started_at"]),
            "published (UTC)": _time(run["published_at"]),
            "rows in": _count(run["rows_in"]),
            "kept": _count(run["rows_kept"]),
            "newest row": _time(run["data_to"]),
            "source": f"{run['source']} (synthetic sample)" if run["sample"] else run["source"],
        }
        for run in runs.latest(database, options.limit)
    ]
    publications = [
        {
            "at (UTC)": _time(entry["at"]),
            "run": entry["run_id"],
            "instead of": entry["previous_run_id"] or "-",
            "by": entry["actor"],
            "action": entry["action"],
            "reason": entry["reason"] or "",
        }
        for entry in runs.latest_publications(database, options.limit)
    ]
    if not listed:
        log.info("no run yet; `python -m pipeline run` creates one")
        return
    right = ("left", "left", "left", "left", "left", "right", "right", "left", "left")
    log.info("%s", tabulate(listed, headers="keys", disable_numparse=True, colalign=right))
    log.info("\npublications, the newest first\n\n%s", tabulate(publications, headers="keys", disable_numparse=True))


def _rollback(options: Any) -> None:
    database = Database(database_url(os.environ))
    run_id = runs.find_id(database, options.run)
    left = publication.roll_back(database, run_id, _actor(), options.reason)
    log.info("run %s is published again, instead of run %s", run_id, left)


def _migrate(_: Any) -> None:
    from pipeline.migrations import default_logins, migrate  # noqa: PLC0415  (alembic takes a second to import)

    reject_default_secrets(os.environ)
    owner = owner_url(os.environ)
    migrate(
        owner,
        pipeline_url=address(os.environ, "PIPELINE_DATABASE_URL"),
        api_url=address(os.environ, "API_DATABASE_URL"),
    )
    if is_production(os.environ):
        default_logins.reject(owner)


def _time(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


if __name__ == "__main__":
    sys.exit(main())
