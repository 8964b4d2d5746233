"""The interface against its own description: schemathesis makes requests, valid and not, from it."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from stylemap.serving.application import create_app, make_store
from stylemap.serving.settings import Settings
from tests.serving.running import A, B, sha

CASES = int(os.environ.get("SERVING_API_CASES", 6))
OPERATIONS = {
    "GET /v1/health",
    "GET /v1/model",
    "GET /metrics",
    "POST /v1/images",
    "PUT /v1/images/{sha256}",
    "GET /v1/images/{sha256}",
    "POST /v1/encode",
    "POST /v1/edit",
    "POST /v1/interpolate",
    "POST /v1/manipulate",
    "POST /v1/random",
}
# Rules that a description has no words for: what is a photo, which uploads there are, names of directions,
# that a form's text is JSON and its other fields have names of files.
UNSAID = (404, 415)
UNSAID_WORDS = ("no SHA-256", "these bytes have", ": there is no", "mask", "is no file", "JSON", "mix.codes")


def _document() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as unused:
        own = Settings(photos=unused)
        return create_app(own, None, make_store(own)).openapi()  # type: ignore[arg-type]


schema = schemathesis.openapi.from_dict(_document())


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_answer_is_as_described(case: Any, http: httpx.Client) -> None:
    answer = case.call(base_url=str(http.base_url))
    text = answer.content.decode(errors="replace")
    unsaid = answer.status_code in UNSAID or any(word in text for word in UNSAID_WORDS)
    excluded = [positive_data_acceptance] if unsaid else []
    if answer.status_code == 504:  # for deadlines of some milliseconds
        excluded = [positive_data_acceptance, not_a_server_error]
    if "x-schemathesis-unknown-property" in (case.headers or {}):  # a server leaves headers alone
        excluded.append(negative_data_rejection)
    case.validate_response(answer, excluded_checks=excluded)


def test_the_addresses_are_those_that_clients_know(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    found = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert found == OPERATIONS
    body = document["paths"]["/v1/edit"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert "EditBody" in document["components"]["schemas"]


def test_valid_bodies_are_accepted(http: httpx.Client) -> None:
    """What the description allows with photos that are there."""
    for data in (A, B):
        http.post("/v1/images", content=data)
    for path, body in {
        "/v1/encode": {"image": sha(A)},
        "/v1/edit": {"original": sha(A)},
        "/v1/interpolate": {"a": sha(A), "b": sha(B)},
        "/v1/manipulate": {"image": sha(A), "direction": "smile"},
    }.items():
        assert http.post(path, json=body).status_code == 200, path
