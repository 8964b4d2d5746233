"""The HTTP interface against its own description: schemathesis makes requests, valid and not, from it.

EDITOR_API_CASES sets the requests for each operation.
"""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from stylemap.editor.app import create_app
from tests.editor import serving
from tests.editor.serving import photo_file

CASES = int(os.environ.get("EDITOR_API_CASES", 8))
OPERATIONS = {
    "GET /api/model",
    "GET /api/gallery",
    "GET /api/images/{image}",
    "GET /api/images/{image}/parts",
    "POST /api/sessions",
    "DELETE /api/sessions/{session}",
    "POST /api/sessions/{session}/images",
    "DELETE /api/sessions/{session}/images/{image}",
    "POST /api/sessions/{session}/random",
    "GET /api/sessions/{session}/scene",
    "PUT /api/sessions/{session}/scene",
    "GET /api/sessions/{session}/masks/{mask}",
    "PUT /api/sessions/{session}/masks/{mask}",
    "POST /api/sessions/{session}/strokes",
    "GET /api/sessions/{session}/result",
    "GET /api/sessions/{session}/frames",
    "GET /api/sessions/{session}/sheet",
    "POST /api/sessions/{session}/face",
    "POST /api/sessions/{session}/apply",
    "POST /api/alignment",
}

# Rules that a description has no words for, beside what is a photo (status 415).
UNSAID = ("each reference needs a mask of its own", "a mask has 32×32 pixels", "landmarks must be two eyes")

schema = schemathesis.openapi.from_dict(create_app(serving.studio()).openapi())


@pytest.fixture
def session(http: httpx.Client) -> dict[str, str]:
    """A session with something of everything: what requests name is mostly there."""
    session: str = http.post("/api/sessions").json()["session"]
    base = f"/api/sessions/{session}"
    image: str = http.post(f"{base}/images", content=photo_file()).json()["id"]
    scene = {"original": "g0", "references": [{"mask": 1, "image": "g1"}]}
    assert http.put(f"{base}/scene", json=scene).status_code == 204
    return {"session": session, "image": image}


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_answer_is_as_described(case: Any, address: str, session: dict[str, str]) -> None:
    if case.operation.method.upper() != "DELETE":  # of which there is one only
        case.path_parameters.update({k: v for k, v in session.items() if k in case.path_parameters})
    answer = case.call(base_url=f"http://{address}")
    unsaid = answer.status_code == 415 or any(rule.encode() in answer.content for rule in UNSAID)
    case.validate_response(answer, excluded_checks=[positive_data_acceptance] if unsaid else [])


def test_the_addresses_are_those_that_clients_know(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {f"{method.upper()} {path}" for path, item in paths.items() for method in item} == OPERATIONS
