"""The endpoints of OFREP 0.3: one flag for server-side SDKs, all flags with an ETag for SDKs in browsers.

The protocol: https://github.com/open-feature/protocol
"""

from hashlib import sha256

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.routing import BaseConverter

from app.errors import CustomerError
from app.ofrep.answers import KEY
from app.ofrep.context import read_context
from app.ofrep.errors import BULK, failure, json_response, not_found, refuse
from app.ofrep.flag import Flag
from app.ofrep.openapi import ALL_FLAGS, ALL_FLAGS_REQUEST, FLAG, FLAG_REQUEST
from app.settings import MAX_BODY_BYTES
from app.voucher.routes import body
from app.web import problems
from app.web.request_log import RUN_HEADER

SINGLE = f"{BULK}/{KEY}"

blueprint = APIBlueprint("ofrep", __name__, abp_tags=[Tag(name="OpenFeature")])
problems.register(blueprint, refuse)


class AnyKey(BaseConverter):
    """The key of another flag, which may have any characters: Werkzeug's `path` takes no line ends."""

    regex = r"[\s\S]+"
    part_isolating = False


# A rule of its own for every other key, because metrics count requests by rules without arguments.
blueprint.record_once(lambda state: state.app.url_map.converters.update(key=AnyKey))
blueprint.add_url_rule(f"{BULK}/<key:key>", "not_found", not_found, methods=["POST"])


@blueprint.post(SINGLE, operation_id="evaluateVoucherFlag", responses=FLAG, openapi_extensions=FLAG_REQUEST)
def evaluate() -> Response:
    """The voucher as a flag of OpenFeature

    For the server-side SDKs of OpenFeature, by its Remote Evaluation Protocol (OFREP) 0.3. The value is the amount
    that `/voucher` answers to the same customer, `targetingKey` being the customer's id. Any other flag gets a 404.
    """
    content, headers = _flag().respond(_body())
    return Response(content, headers=headers)


@blueprint.post(
    BULK, strict_slashes=False, operation_id="evaluateFlags", responses=ALL_FLAGS, openapi_extensions=ALL_FLAGS_REQUEST
)
def evaluate_all() -> Response:
    """All flags of OpenFeature, of which there is one

    For OpenFeature's SDKs in browsers and apps. If the customer can't be answered, the reason stands in place of the
    flag. Send the `ETag` of an answer as `If-None-Match`, and you get a 304 as long as the answer is the same.
    """
    context = read_context(_body())
    run = {}
    try:
        found, headers = _flag().evaluate(context)
        run = {RUN_HEADER: dict(headers)[RUN_HEADER]}
    except CustomerError as error:
        found = json_response(failure(problems.from_error(error), error), 200).get_data()
    content = b'{"flags":[%b]}\n' % found.strip()
    tag = sha256(content).hexdigest()[:32]
    fresh = request.if_none_match.contains_weak(tag)
    response = Response(b"" if fresh else content, 304 if fresh else 200, run, mimetype="application/json")
    response.set_etag(tag)
    return response


def _flag() -> Flag:
    found: Flag = current_app.extensions["flag"]
    return found


def _body() -> bytes:
    if not request.is_json:
        raise UnsupportedMediaType
    return body(MAX_BODY_BYTES)
