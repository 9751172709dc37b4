"""A Flask route that returns a constant: the upper limit for any Flask app on the same server."""

from flask import Flask


def create_app() -> Flask:
    app = Flask(__name__)

    @app.post("/voucher")
    def voucher() -> dict[str, int]:
        return {"voucher_amount": 2640}

    return app
