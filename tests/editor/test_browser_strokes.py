"""What a stroke costs the page: nothing is laid out, nothing waits, nothing is sent twice."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from stylemap.editor import brush, limits
from tests.editor.browser import EditorPage

MOVES = 40


def _place(page: EditorPage, x: float, y: float) -> tuple[float, float]:
    box = page.page.locator("#result").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def _paint(page: EditorPage) -> None:
    page.page.mouse.move(*_place(page, 0.2, 0.5))
    page.page.mouse.down()
    page.page.mouse.move(*_place(page, 0.8, 0.5), steps=MOVES)


def test_a_stroke_lays_nothing_out(page: EditorPage) -> None:
    _paint(page)  # what changes with the first stroke
    page.page.mouse.up()
    page.settle()
    chromium = page.context.new_cdp_session(page.page)
    chromium.send("Performance.enable")

    def layouts() -> float:
        metrics = chromium.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in metrics if one["name"] == "LayoutCount")

    before = layouts()
    _paint(page)
    # The figures in the header change twice a second.
    assert layouts() - before < MOVES / 2
    page.page.mouse.up()
    page.settle()


def test_a_move_is_painted_once(page: EditorPage) -> None:
    page.do(
        """() => {
            const { editor } = stylemap, extend = editor.extendStroke.bind(editor);
            window.moves = [];
            editor.extendStroke = (points, ...rest) => {
                window.moves.push(points);
                extend(points, ...rest);
            };
        }"""
    )
    _paint(page)
    page.page.mouse.up()
    page.settle()
    columns = [point for move in page.do("window.moves") for point in move[::2]]
    assert len(columns) == MOVES + 1
    assert all(left < right for left, right in itertools.pairwise(columns))


def test_a_piece_is_sent_at_once_and_the_next_one_with_the_frame(page: EditorPage) -> None:
    waiting = page.do(
        """async () => {
            const { editor, link } = stylemap, size = editor.size;
            const waiting = [];
            link.flushed = -1e6;
            editor.beginStroke();
            for (const x of [0.3, 0.4, 0.5]) {
                editor.extendStroke([x * size, 0.5 * size], performance.now());
                await null;
                waiting.push(link.outgoing.length);
            }
            await new Promise((done) => requestAnimationFrame(done));
            waiting.push(link.outgoing.length);
            editor.endStroke();
            return waiting;
        }"""
    )
    assert waiting == [0, 1, 1, 0]
    page.settle()


@pytest.mark.parametrize("radius", [8, 64, 300])
def test_a_fast_mouse_is_painted_at_the_rate_of_a_server(
    page: EditorPage, radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty seconds of a mouse that moves a thousand times a second, over a mask of 1024."""
    messages = page.do(
        """async (radius) => {
            const { Pacing } = await import("/static/pacing.js");
            const pacing = new Pacing(1024), messages = [];
            let last = null;
            for (let time = 0; time < 20000; time++) {
                const x = 512 + 500 * Math.sin(time / 160), y = 512 + 500 * Math.cos(time / 110);
                const kept = pacing.take([x, y], last, radius, time);
                if (kept.length) messages.push([time, last ? [...last, ...kept] : kept]);
                last = kept.length ? kept : last;
            }
            return [messages, pacing.rest()];
        }""",
        radius,
    )
    now = 0.0
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now))
    rate = limits.Limits().paint_rate
    bucket = limits.Bucket(rate, 4 * rate)  # as `clients.Client` has it
    sent, held = messages
    for time, points in sent:
        now = time / 1000
        xy = np.array(points, np.float32).reshape(-1, 2)
        assert bucket.take(brush.cost(1024, xy, radius))
        # At most 5 pixels to the next point, and a quarter of the radius that may be left out.
        assert np.hypot(*(xy[-1] - xy[0])) < 6 + radius / 4
    assert len(sent) == 20000 if radius == 8 else len(sent) < 20000
    assert held or sent[-1][0] == 19999, "the end of a stroke is kept"
