"""The app as the server starts it, but with two downloads and a limit of one second for a client's pauses."""

import os

from flask import Flask

from app import create_app
from app.server import sockets
from app.server.inflight import InFlight
from app.settings import Settings, database_url


def new_app() -> Flask:
    app = create_app(Settings(database_url(os.environ["API_DATABASE_URL"]), downloads=2))
    in_flight = InFlight(app.wsgi_app)
    app.wsgi_app = in_flight  # type: ignore[method-assign]
    sockets.watch(in_flight, stalled=1)
    return app
