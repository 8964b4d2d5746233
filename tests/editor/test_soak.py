"""The ten-minute soak, for three seconds."""

from __future__ import annotations

from stylemap.benchmarks.editor_soak import soak
from stylemap.benchmarks.machine import resident
from tests.editor import serving


def test_memory_stays_bounded_while_clients_come_and_go() -> None:
    studio = serving.studio(serving.patient(sessions=4))
    with serving.running(studio) as host:
        soak(host, 1.0, 2, lambda: 0.0)  # pages, pools and the gallery's images
        before = resident() / 1024
        found = soak(host, 2.0, 2, lambda: resident() / 1024)
        assert found["visits"] >= 4
        assert found["frames"] >= found["visits"]
        assert found["memory_mib"][1]["most"] < before + 64
        assert len(studio.clients) <= 4
        assert studio.composer.stats()["images"] <= 4 * 2 + 24
