"""The fuzzing of the editor, for two hundred messages and a request of each kind."""

from __future__ import annotations

from stylemap.benchmarks import editor_fuzz
from tests.helpers import needs


def test_nothing_that_is_sent_fails_the_server_or_loses_a_session() -> None:
    needs.package("schemathesis")
    found = editor_fuzz.run(200, 20, 1)
    assert found["passed"], found
    assert found["websocket"]["messages"] == 200
    assert found["websocket"]["came_back"] == sum(found["websocket"]["shown_out"].values()) > 0
    assert found["http"]["requests"] >= found["http"]["operations"]
    assert found["witness"]["intact"]
