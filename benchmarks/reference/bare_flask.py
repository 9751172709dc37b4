"""A route that returns a constant: no Flask app on the same server answers faster."""

from flask import Flask


def create_app() -> Flask:
    app = Flask(__name__)

    @app.post("/voucher")
    def voucher() -> dict[str, int]:
        return {"voucher_amount": 2640}

    return app
