"""The app as a server starts it, but that it lets a reader pause for a second only."""

import os

from flask import Flask

from app import connections, create_app
from app.settings import Settings, database_url


def new_app() -> Flask:
    connections.watch(seconds=1)
    return create_app(Settings(database_url(os.environ["API_DATABASE_URL"]), downloads=2))
