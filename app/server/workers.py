"""The web server's options, each with its reason. The image and `make up` start it with `python -m app`."""

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
    # HTTP/2 without TLS has no users. If it were allowed, clients that send nothing would stay connected forever.
    "--http": "1",
    # Maximum connections of a worker, including idle ones. Further ones wait in the backlog, even if another worker is
    # idle. Most systems limit a process to 1024 files.
    "--backpressure": "512",
    "--backlog": "1024",
    # A request keeps a thread from its headers to the last byte of the response. There are as many as connections, so
    # that slow clients never take the last one. Threads are started when needed, and waiting ones cost little.
    "--blocking-threads": "512",
    # Timeout in milliseconds for a request's headers, and for idle connections. A proxy in front must close idle
    # connections first, otherwise it may send a request on a closed one. This is the maximum that granian accepts.
    "--http1-header-read-timeout": "60000",
    # Maximum bytes of the request line and headers. The app limits the body.
    "--http1-buffer-size": "65536",
    # Seconds between the start of a new worker and the stop of the one it replaces, in a reload.
    "--respawn-interval": "10",
    # Seconds for the graceful shutdown of a worker. Docker kills the container after 10 seconds.
    "--workers-kill-timeout": "8",
}
FLAGS = ("--factory", "--respawn-failed-workers")


def command(host: str, port: int, workers: int, factory: str = FACTORY) -> list[str]:
    """Return the command that serves the WSGI app created by `factory`. The benchmarks use it for their apps too."""
    where = ["--host", host, "--port", str(port), "--workers", str(workers)]
    options = [word for option in OPTIONS.items() for word in option]
    return [sys.executable, "-m", "granian", *where, *options, *FLAGS, factory]


def worker() -> Flask:
    """Return the app of one worker process, with graceful shutdown and a watch for stalled clients."""
    shutdown.block_sigterm()
    # While the disk of TMPDIR is full, Python would choose another folder instead, such as a /tmp in memory.
    tempfile.tempdir = os.environ.get("TMPDIR") or None
    app = create_app()
    closing = shutdown.CloseConnections(app.wsgi_app)
    in_flight = inflight.InFlight(closing)
    app.wsgi_app = in_flight  # type: ignore[method-assign]
    shutdown.wait_for_sigterm(closing)
    sockets.watch(in_flight)
    return app


def main() -> None:
    """Check the settings, then replace this process by granian.

    granian's main process does not load the app, so workers started after SIGHUP load it anew.
    """
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8000, type=int)
    given = parser.parse_args()
    request_log.configure()
    for warning in environment.warnings(os.environ):  # once, not in each worker
        structlog.get_logger().warning(warning)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"error: {error}")
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # where workers share their counts; empty at each start
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = _new_folder()
    argv = command(given.host, given.port, settings.workers)
    os.execv(argv[0], argv)  # noqa: S606


def _new_folder() -> str:
    """Return a new folder for shared counts.

    It is in /tmp, which a container has in memory and anew at each start; TMPDIR is a disk for large files. If there is
    no space, return a path that is no folder: /readyz then reports `metrics`.
    """
    try:
        return tempfile.mkdtemp(prefix="voucher-metrics-", dir="/tmp")
    except OSError:
        return os.devnull
