"""The command line, `python -m pipeline COMMAND`: run, plan, runs, dropped, rollback, notify, migrate."""

import argparse
import gc
import getpass
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import PipelineError
from pipeline.audits.runner import RunRejected
from pipeline.commands import notify
from pipeline.commands.output import LogOutput, write
from pipeline.commands.results import Rollback
from pipeline.notices import outbox
from pipeline.publish import publication
from pipeline.publish.database import Database
from pipeline.publish.listing import find_id
from pipeline.settings import (
    address,
    database_url,
    owner_url,
    page_url,
    receiver,
    reject_default_secrets,
    warn,
)
from shared.environment import is_production

log = logging.getLogger("pipeline")

REFUSED = 3  # the exit code of `run` if an audit fails: schedulers need not repeat it. 2 is argparse's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 1 or REFUSED after a line on stderr: what is wrong, what to do."""
    options = _parser().parse_args(arguments)
    log_to = LogOutput(sys.stderr if getattr(options, "form", None) else sys.stdout)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[log_to])
    for talkative in ("alembic", "botocore"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    commands: Mapping[str, Callable[[Any], None]] = {
        "run": _run,
        "plan": _plan,
        "runs": _runs,
        "dropped": _dropped,
        "rollback": _rollback,
        "notify": _notify,
        "migrate": _migrate,
    }
    try:
        warn()
        commands[options.command](options)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        code = REFUSED if options.command == "run" and isinstance(error, RunRejected) else 1
    else:
        return 0
    gc.collect()  # the error's frames hold a DuckDB: left to the end of the process, it would report a leak
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="read the history, apply the rules, publish the answers")
    run.add_argument("--force", metavar="REASON", type=_reason, help="publish even if an audit fails, or withdrawn")
    plan = commands.add_parser("plan", help="the same without publishing; shows which answers would change")
    forms = plan.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="form", action="store_const", const="json", help="as docs/plan.schema.json says")
    forms.add_argument(
        "--markdown", dest="form", action="store_const", const="markdown", help="for a comment on a pull request"
    )
    for command in (run, plan):
        command.add_argument("--source", help="an object, folder or pattern, instead of VOUCHER_SOURCE")
    runs = commands.add_parser("runs", help="list the runs and the publications")
    runs.add_argument("--limit", type=_positive, default=20, help="of how many, newest first (20)")
    dropped = commands.add_parser("dropped", help="list the rows that a rule dropped, read again from the source")
    dropped.add_argument("rule", metavar="RULE", help="a rule or a built-in reason")
    dropped.add_argument("--country", help="only its rows, in any spelling; '' for rows without a country")
    dropped.add_argument(
        "--matched", action="store_true", help="all rows that the rule matches, whichever dropped them"
    )
    dropped.add_argument("--run", metavar="RUN", help="instead of the published run; its first 6 digits are enough")
    dropped.add_argument("--limit", type=_positive, help="at most so many rows (20; all for --csv)")
    dropped.add_argument("--csv", metavar="FILE", type=Path, help="write them to this file")
    rollback = commands.add_parser("rollback", help="publish an earlier run again, or go forward to one rolled back")
    rollback.add_argument("run", metavar="RUN", help="its id, as `runs` shows it, or the first 6 digits or more")
    rollback.add_argument("--reason", type=_reason, required=True, help="kept in the log of publications")
    for command in (run, runs, rollback):
        command.add_argument(
            "--json",
            dest="form",
            action="store_const",
            const="json",
            help="write the result as JSON, the log to stderr",
        )
    notify = commands.add_parser("notify", help="send the notices that are due to VOUCHER_NOTIFY_URL")
    notify.add_argument(
        "--test", action="store_true", help="send a test notice instead; nothing is published or stored"
    )
    commands.add_parser("migrate", help="bring the tables to the newest version (as their owner: DATABASE_URL)")
    return parser


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a reason, for those who read it later")
    return _printable(text.strip())


def _positive(text: str) -> int:
    if not text.isdecimal() or not (number := int(text)):
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a whole number of at least 1")
    return number


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
    from pipeline.commands.run import run  # noqa: PLC0415  (what a rollback doesn't need takes a second to import)

    run(options, _actor())


def _plan(options: Any) -> None:
    from pipeline.commands.plan import plan  # noqa: PLC0415

    plan(options)


def _runs(options: Any) -> None:
    from pipeline.commands.runs import runs  # noqa: PLC0415

    runs(options)


def _dropped(options: Any) -> None:
    from pipeline.commands.dropped import dropped  # noqa: PLC0415

    dropped(options)


def _rollback(options: Any) -> None:
    database, told = Database(database_url(os.environ)), receiver(os.environ)
    run_id = find_id(database, options.run)
    left = publication.roll_back(database, run_id, _actor(), options.reason)
    log.info("run %s is published again, instead of run %s", run_id, left)
    if options.form == "json":
        write(Rollback(run_id=run_id, previous_run_id=left).model_dump_json(indent=2))
    outbox.deliver(database, told, page_url(os.environ))


def _notify(options: Any) -> None:
    if options.test:
        notify.test(_actor())
    else:
        notify.notify()


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


if __name__ == "__main__":
    sys.exit(main())
