"""Flask for its own server: each request is a query on one shared connection."""

import os

import psycopg2
from flask import Flask, request

from benchmarks.reference import QUERY

NAMES = ("country_code", "segment_name", "total_orders")
STATEMENT = QUERY.format(**{name: f"%({name})s" for name in NAMES}, last_order_ts="%(last_order_ts)s::date")


def create_app() -> Flask:
    app = Flask(__name__)
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True

    @app.post("/voucher")
    def voucher() -> dict[str, float]:
        with connection.cursor() as cursor:
            cursor.execute(STATEMENT, request.get_json())
            [(amount,)] = cursor.fetchall()
        return {"voucher_amount": float(amount)}

    return app
