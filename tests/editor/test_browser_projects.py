"""Project files that are damaged or made up: read whole, or refused in one line while the page stays."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylemap.editor import protocol
from stylemap.editor.limits import Limits
from tests.editor.browser import EditorPage
from tests.editor.serving import photo_file
from tests.helpers import tiny

# Thousands of damaged copies of a project, by a seed: values of other kinds and sizes anywhere in its tree,
# parts left out, added or taken twice, and the text itself cut and overwritten.
FUZZ = """async ([project, count, seed]) => {
    const { parseProject } = await import("/static/projectfile.js");
    const { model } = stylemap.editor;
    let state = seed;
    const random = (most) => {
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) % most;
    };
    const pick = (list) => list[random(list.length)];
    const odd = [
        null, true, false, 0, -1, 1, 2, 0.5, 99, 100, 101, 65536, 1e9, 1e308, -1e-9, "", "0", "a", "own",
        "random", "photo", "camera", "__proto__", "constructor", "\\n\\u0000", "ÿÿ", "A".repeat(5000),
        [], {}, [[]], [0], [1, 2, 3], [null, null], { image: "a" }, { mask: 1 }, "AAAA", "//8A", "////", "=",
        project.size, project.format,
    ];
    const isNode = (value) => typeof value === "object" && value;
    const nodes = (value) => (isNode(value) ? [value, ...Object.values(value).flatMap(nodes)] : []);
    const change = (whole) => {
        const tree = structuredClone(whole);
        for (let times = 1 + random(3); times; times--) {
            const node = pick(nodes(tree)), key = pick([...Object.keys(node), "extra", "0"]);
            const kind = random(5);
            if (kind === 0) delete node[key];
            else if (kind === 1) node[key] = structuredClone(pick(nodes(tree)));
            else if (kind === 2) node[pick(["a", "1", "100", key])] = structuredClone(node[key] ?? null);
            else node[key] = structuredClone(pick(odd));
        }
        return JSON.stringify(tree);
    };
    const damage = (text) => {
        const at = random(text.length);
        if (random(3) === 0) return text.slice(0, at);
        if (random(2)) return text.slice(0, at) + text.slice(at + 1 + random(40));
        const other = pick(['"', "{", "[", ",", "9", "-", "e9", "\\\\", "null", "\\u2028", '"__proto__":']);
        return text.slice(0, at) + other + text.slice(at + 1);
    };
    const whole = JSON.stringify(project), refused = {}, scenes = new Set();
    for (let i = 0; i < count; i++) {
        const text = random(3) ? change(project) : damage(whole);
        try {
            const { images, scene, masks } = parseProject(text, model);
            for (const { kind, file, seed } of images.values()) {
                const good = kind === "photo" ? file.size > 0 : Number.isInteger(seed);
                if (!good) throw new TypeError("an image");
            }
            const parts = [...scene.references, ...Object.values(scene.sliders)];
            for (const { mask } of parts) {
                const good = mask === null || masks.get(mask)?.length === model.size ** 2;
                if (!good) throw new TypeError("no mask " + mask);
            }
            const shown = [scene.original, scene.mix?.image, ...scene.references.map((one) => one.image)];
            for (const id of shown) if (id != null && !images.has(id)) throw new TypeError("no image " + id);
            scenes.add(JSON.stringify(scene));
        } catch (error) {
            const said = `${error.name}: ${error.message}`;
            const good = error.name === "Error" && said.length < 200 && !said.includes("\\n");
            if (!good) return { fault: said + error.stack, text };
            refused[error.message] = (refused[error.message] ?? 0) + 1;
        }
    }
    return { refused, scenes: [...scenes] };
}"""


def _project() -> dict[str, Any]:
    """One with something of everything."""
    photo = base64.b64encode(photo_file(seed=1)).decode()
    pixels = np.zeros((tiny.SIZE, tiny.SIZE), np.uint8)
    pixels[4:9, 3:20] = 255
    runs = base64.b64encode(protocol.encode_runs(pixels)).decode()
    crop = {"cx": 0.5, "cy": 0.4, "side": 0.9, "angle": 3}
    return {
        "format": "stylemap-project",
        "version": 2,
        "size": tiny.SIZE,
        "scene": {
            "original": "own",
            "references": [
                {"mask": 1, "image": "a", "shift": [0, -3], "on": True, "opacity": 0.5},
                {"mask": 2, "image": "b"},
            ],
            "weight": 0.75,
            "sliders": {"left": {"strength": 1, "mask": None}, "right": {"strength": -2, "mask": 101}},
            "mix": {"image": "a", "codes": [3, 1]},
        },
        "images": {
            "own": {"kind": "photo", "name": "me", "file": photo, "crop": crop},
            "a": {"kind": "random", "name": "seed 5", "seed": 5, "truncation": 0.7, "class_name": None},
            "b": {"kind": "photo", "name": "you", "png": photo},
        },
        "masks": {"1": runs, "101": runs},
    }


def _sliders(page: EditorPage) -> dict[str, Any]:
    project = _project()
    names = page.do("stylemap.editor.model.sliders")
    project["scene"]["sliders"] = dict(zip(names, project["scene"]["sliders"].values()))
    return project


def test_damaged_projects_are_read_or_refused(page: EditorPage) -> None:
    page.do("window.before = JSON.stringify(stylemap.editor.scene)")
    found = page.do(FUZZ, [_sliders(page), 4000, 1])
    assert "fault" not in found, found
    assert len(found["refused"]) > 60
    assert len(found["scenes"]) > 30
    for scene in found["scenes"]:  # what was read, the server takes
        message = json.dumps({"type": "scene", "seq": 1, "scene": json.loads(scene)})
        protocol.parse_text(message, Limits())
    assert page.do("JSON.stringify(stylemap.editor.scene) === window.before")


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("scene", "references", 0, "shift"), None, ""),
        (("scene", "references", 0, "shift"), [1], "the shift of reference 1 is not two numbers"),
        (("scene", "references"), {"0": {}}, "references is no list"),
        (("scene", "references", 1, "mask"), 1, "needs a mask of its own"),
        (("scene", "original"), "elsewhere", "the original is an image that is not in the file"),
        (("images", "b", "png"), "?", 'image "b" is damaged'),
        (("masks", "1"), "AAAA", "a mask has another size"),
        (("scene", "weight"), "1e400", "the weight must be a number"),
    ],
)
def test_a_project_that_is_refused_changes_nothing(
    page: EditorPage, tmp_path: Path, where: tuple[str | int, ...], value: Any, reason: str
) -> None:
    project: Any = _sliders(page)
    part = project
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    page.stroke((0.3, 0.6), (0.7, 0.6))
    state = (
        "JSON.stringify([stylemap.editor.scene, stylemap.gallery.own.length, stylemap.editor.past.length])"
    )
    before, shown = page.do(state), page.image()
    (tmp_path / "x.stylemap").write_text(json.dumps(project))
    page.page.set_input_files("#open", tmp_path / "x.stylemap")
    if not reason:  # no fault: a project of everything opens
        page.page.wait_for_function("() => stylemap.editor.scene.references.length === 2")
        page.settle()
        assert page.mask(101).any()
        assert not page.mask(2).any()
        return
    page.page.wait_for_selector(f"#toasts .error:has-text({json.dumps(reason)})")
    assert page.do(state) == before
    assert (page.image() == shown).all()
