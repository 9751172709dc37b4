"""The API: a read-only service over the published tables. Flask and granian start it by calling `create_app`."""

import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app import document
from app.ofrep import routes as ofrep
from app.ofrep.flag import Flag
from app.page.campaign import blueprint as campaign_page
from app.page.routes import blueprint as page
from app.published import database
from app.published.models import db
from app.published.reader import Reader
from app.published.refresher import Published
from app.published.runs import RecordedRuns
from app.reports import countries, effects, excel, rules, runs, segments, votes
from app.reports.rows import assignments
from app.settings import BULK_CALLS, BULK_WAIT_SECONDS, CAMPAIGNS, MAX_BODY_BYTES, Settings
from app.voucher import bulk, routes
from app.voucher.campaign import routes as campaign
from app.voucher.campaign.files import TooManyFilesError
from app.voucher.customer import Customer
from app.voucher.fast_path import FastPath
from app.web import health, hosts, metrics, problems, request_log
from app.web.headers import SecurityHeaders
from app.web.keys import ApiKeys
from app.web.streams import Slots, TooManyCallsError, TooManyDownloadsError


def create_app(settings: Settings | None = None) -> Flask:
    """Return the app, with its routes and WSGI layers. Raises SettingsError.

    An unreachable database does not prevent the start.
    """
    request_log.configure()
    settings = settings or Settings.from_environment(os.environ)
    app = document.new_app(__name__, health.VERSION)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=database.URL,
        SQLALCHEMY_ENGINE_OPTIONS=database.options(settings.database_url),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
    )
    app.extensions["settings"] = settings
    problems.init_app(app)
    db.init_app(app)
    document.init_app(app)
    app.register_api(routes.blueprint)
    app.register_api(bulk.blueprint)
    app.register_api(campaign.blueprint)
    app.register_api(ofrep.blueprint)
    for tables in (segments, excel, countries, votes, effects, rules, runs, assignments):
        app.register_api(tables.blueprint)
    app.register_api(health.blueprint)
    app.register_api(metrics.blueprint)
    app.register_blueprint(page)
    app.register_blueprint(campaign_page)
    with app.app_context():
        engine = database.prepared(db.engine, settings.database_url)
    published = app.extensions["published"] = Published(
        engine, settings.database_url, settings.poll_seconds, settings.currency
    )
    flag = app.extensions["flag"] = Flag(published)
    app.extensions["metrics"] = metrics.new_registry(published, settings.max_age_hours)
    app.extensions["tables"] = Reader(settings.database_url, 4, published)
    app.extensions["rows"] = Reader(settings.database_url, settings.downloads, published)
    app.extensions["recorded_runs"] = RecordedRuns(settings.currency)
    app.extensions["download_slots"] = Slots(settings.downloads, TooManyDownloadsError)
    app.extensions["bulk_slots"] = Slots(BULK_CALLS, TooManyCallsError, BULK_WAIT_SECONDS)
    app.extensions["file_slots"] = Slots(CAMPAIGNS, TooManyFilesError)
    published.refresh()
    published.start()
    requests = metrics.Requests(app, app.extensions["metrics"])
    # Some proxies append to the header of the proxy before them, most replace it or hand it on. So ProxyFix for fewer
    # values goes before, because it ignores a header with fewer values than it expects.
    for count in range(settings.trusted_proxies, 0, -1):
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=0, x_proto=count, x_host=count, x_port=0, x_prefix=count
        )
    app.wsgi_app = FastPath(  # type: ignore[method-assign]
        app.wsgi_app,
        {
            "/voucher": lambda body: routes.respond(Customer.from_json(body), published),
            ofrep.SINGLE: flag.respond,
        },
    )
    if settings.api_keys:
        app.wsgi_app = ApiKeys(app.wsgi_app, settings.api_keys)  # type: ignore[method-assign]
    names = None if settings.api_keys else settings.hosts  # keys protect against DNS rebinding too
    app.wsgi_app = hosts.Hosts(app.wsgi_app, names)  # type: ignore[method-assign]
    app.wsgi_app = SecurityHeaders(app.wsgi_app, settings.cors_origins)  # type: ignore[method-assign]
    app.wsgi_app = request_log.RequestLog(app.wsgi_app, requests)  # type: ignore[method-assign]
    return app
