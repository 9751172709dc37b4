"""The web server's settings, each with its reason. `python -m app`, which the image and `make up` call, starts it."""

import argparse
import os
import sys
import tempfile

import structlog
from flask import Flask

from app import create_app
from app.server import inflight, shutdown, sockets
from app.settings import Settings
from app.web import request_log
from shared import environment
from shared.environment import SettingsError

FACTORY = "app.server.workers:worker"
OPTIONS = {
    "--interface": "wsgi",
    # HTTP/2 without TLS has no users, and looking out for it leaves a client that says nothing connected for ever.
    "--http": "1",
    # Connections that a worker holds, idle ones included; more wait in the backlog, even if another worker is idle.
    # Most systems limit a process to 1024 files.
    "--backpressure": "512",
    "--backlog": "1024",
    # A request has a thread from its headers to the last byte of its answer. As many as connections, so that slow
    # clients, however many, never take the last one. A thread is started when it is needed, and waiting costs little.
    "--blocking-threads": "512",
    # Milliseconds for a request's headers, and for which an idle connection is kept. A proxy in front has to close
    # first, or it sends what nobody reads: the most that granian takes leaves it the most room.
    "--http1-header-read-timeout": "60000",
    # Bytes of a request's line and headers. The body has limits of its own in the app, which reads it as it comes.
    "--http1-buffer-size": "65536",
    # Seconds in which a new worker has to be up before, in a reload, the one that it replaces leaves.
    "--respawn-interval": "10",
    # Seconds for goodbyes and answers under way; in sum less than the 10 that Docker gives before it kills.
    "--workers-kill-timeout": "8",
}
FLAGS = ("--factory", "--respawn-failed-workers")


def command(host: str, port: int, workers: int, factory: str = FACTORY) -> list[str]:
    """What serves the WSGI app that `factory` makes; the benchmarks serve theirs by the same."""
    where = ["--host", host, "--port", str(port), "--workers", str(workers)]
    options = [word for option in OPTIONS.items() for word in option]
    return [sys.executable, "-m", "granian", *where, *options, *FLAGS, factory]


def worker() -> Flask:
    """Return the app of one worker process, with graceful shutdown and a watch for stalled clients."""
    shutdown.block_sigterm()
    app = create_app()
    closing = shutdown.CloseConnections(app.wsgi_app)
    in_flight = inflight.InFlight(closing)
    app.wsgi_app = in_flight  # type: ignore[method-assign]
    shutdown.wait_for_sigterm(closing)
    sockets.watch(in_flight)
    return app


def main() -> None:
    """Look at the settings, and become granian: it has not loaded the app, so on SIGHUP new workers load it anew."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8000, type=int)
    given = parser.parse_args()
    request_log.configure()
    for warning in environment.warnings(os.environ):  # here, and not in each worker
        structlog.get_logger().warning(warning)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"error: {error}")
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # where workers share what they count: empty at each start
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = _new_folder()
    argv = command(given.host, given.port, settings.workers)
    os.execv(argv[0], argv)  # noqa: S606


def _new_folder() -> str:
    """A folder for this start. If the disk has no space for one, a path that is none: /readyz reports `metrics`."""
    try:
        return tempfile.mkdtemp(prefix="voucher-metrics-")
    except OSError:
        return os.devnull
