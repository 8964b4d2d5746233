"""The web editor on a service: the same pictures, and sessions that outlive it."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import Tensor

from stylemap import checkpoint, edit, images
from stylemap.cli.app import main
from stylemap.editor import server
from stylemap.editor.clients import Away
from stylemap.editor.composer import Composer
from stylemap.editor.edits import AMPLIFY, Part, Recipe, Slide
from stylemap.editor.remote import RemoteComposer
from stylemap.editor.studio import Studio
from stylemap.engine.plans import handed_over
from stylemap.serving.service import Local
from tests.editor import serving
from tests.editor.serving import PATIENT, Painter
from tests.helpers import tiny
from tests.serving import running
from tests.serving.running import A, B, Deployment

SIZE = tiny.SIZE


@pytest.fixture
def local(model_file: str, directions: Path) -> Studio:
    """The editor of the same model in this process, opened as the commands open one."""
    model = handed_over(checkpoint.load(model_file), "fp32")
    return serving.studio(model=model, name="tiny", directions=directions)  # type: ignore[arg-type]


def _photos() -> list[Tensor]:
    return [running.square(data) for data in (A, B, serving.photo_file(seed=3))]


def _mask(which: int) -> Tensor:
    """Soft, as uint8 pixels have it."""
    soft = edit.masks.ellipse(SIZE, 0.3 + 0.3 * which, 0.5, 0.3, 0.4) * 0.7
    return (soft.reshape(SIZE, SIZE) * 255).round() / 255


def _recipe(composer: Any, name: str) -> Recipe:
    a, b, c = (composer.add(photo) for photo in _photos())
    parts = [Part(b, _mask(0), (4, -3), 0.6), Part(c, _mask(1), (0, 0))]
    slides = [Slide("smile", 0.7, _mask(1)), Slide("hair_length", -0.4), Slide(AMPLIFY, 0.3, _mask(0))]
    return {
        "alone": Recipe(a),
        "references": Recipe(a, parts, 0.8),
        "sliders": Recipe(a, sliders=slides),
        "sliders and references": Recipe(a, parts[1:], sliders=slides),
        "mixing": Recipe(a, mix=(c, (0, 1, 3))),
        "everything": Recipe(a, parts, 0.9, None, (c, (2, 4)), sliders=slides),
        "camera": Recipe(a, parts, passing=True, sliders=slides[1:]),
    }[name]


RECIPES = ["alone", "references", "sliders", "sliders and references", "mixing", "everything", "camera"]


def _pixels(picture: Tensor) -> np.ndarray:
    return np.asarray(images.to_image(picture))


@pytest.mark.parametrize("name", RECIPES)
def test_the_pictures_are_those_of_a_model_here(deployment: Deployment, local: Studio, name: str) -> None:
    here, there = local.composer, RemoteComposer(deployment.url)
    assert there.sliders == here.sliders
    assert there.config == here.config
    recipe = _recipe(there, name)
    for _ in range(2):  # the second time the service has the photos
        np.testing.assert_array_equal(
            _pixels(there.render(recipe)), _pixels(here.render(_recipe(here, name), "me"))
        )


def test_a_strip_comes_in_few_requests(deployment: Deployment, local: Studio) -> None:
    there, weights = RemoteComposer(deployment.url), edit.frame_weights(11)
    found = list(there.frames(_recipe(there, "everything"), weights))
    wanted = list(local.composer.frames(_recipe(local.composer, "everything"), weights))
    assert len(found) == 11
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(_pixels(one), _pixels(other))
    with httpx.Client(base_url=deployment.url) as http:
        text = http.get("/metrics").text
    assert 'stylemap_requests_total{endpoint="/v1/edit",status="200"} 2.0' in text


def test_random_images(deployment: Deployment, local: Studio) -> None:
    there = RemoteComposer(deployment.url)
    w = there.random(5, 0.7)
    assert torch.equal(w, local.composer.random(5, 0.7).cpu())
    handle = there.add_stylemap(w)
    wanted = local.composer.render(Recipe(local.composer.add_stylemap(w)))
    np.testing.assert_array_equal(_pixels(there.render(Recipe(handle))), _pixels(wanted))
    with pytest.raises(ValueError, match="class_name: there is no 'cat' here"):
        there.random(5, 0.7, "cat")


def test_what_the_service_lost_is_sent_again(deployment: Deployment) -> None:
    there = RemoteComposer(deployment.url)
    recipe = _recipe(there, "everything")
    first = there.render(recipe)
    for folder in deployment.folder.iterdir():
        shutil.rmtree(folder)
    deployment.stop()
    engine = deployment.start().engine
    there._http.close()
    there = _same(there, deployment)
    assert torch.equal(there.render(recipe), first)
    assert engine.rendered == 1


def _same(composer: RemoteComposer, deployment: Deployment) -> RemoteComposer:
    """A composer that believes that the service has all that the other one sent."""
    other = RemoteComposer(deployment.url)
    other._files, other._sent = composer._files, composer._sent
    return other


@contextlib.contextmanager
def _editor(deployment: Deployment) -> Iterator[tuple[str, Studio]]:
    studio = server.open_remote(RemoteComposer(deployment.url), limits=PATIENT)
    with serving.running(studio) as address:
        yield address, studio


SCENE = {"original": "g0", "references": [{"mask": 1, "image": "g1", "shift": [2, 1], "opacity": 0.8}]}
POINTS = [(8.0, 8.0), (20.0, 18.0)]


def _painted(address: str, **scene: Any) -> np.ndarray:
    with Painter(address) as painter:
        painter.scene({**SCENE, **scene})
        return painter.image(painter.stroke(1, POINTS, 5.0, final=True))


@pytest.mark.parametrize(
    "scene",
    [{}, {"sliders": {"smile": {"strength": 0.8, "mask": 1}}}, {"mix": {"image": "g3", "codes": [0, 1]}}],
    ids=["painting", "slider", "mixing"],
)
def test_the_editor_shows_the_same(deployment: Deployment, local: Studio, scene: dict[str, Any]) -> None:
    with _editor(deployment) as (there, _), serving.running(local) as here:
        np.testing.assert_array_equal(_painted(there, **scene), _painted(here, **scene))


def test_uploads_random_faces_and_files(deployment: Deployment, local: Studio) -> None:
    found = []
    with _editor(deployment) as (there, _), serving.running(local) as here:
        for address in (there, here):
            with httpx.Client(base_url=f"http://{address}", timeout=20) as http:
                session = f"/api/sessions/{http.post('/api/sessions').json()['session']}"
                about = http.get("/api/model").json()
                upload = http.post(f"{session}/images", content=A).raise_for_status().json()["id"]
                face = http.post(f"{session}/random", json={"seed": 4}).raise_for_status().json()["id"]
                scene = {"original": upload, "mix": {"image": face, "codes": [0, 2]}}
                assert http.put(f"{session}/scene", json=scene).status_code == 204
                result = http.get(f"{session}/result").content
                strip = http.get(f"{session}/frames", params={"count": 4, "format": "strip"}).content
                whole = http.get(f"{session}/result", params={"whole": True})
                assert whole.status_code == 200
                found.append((about["sliders"], about["codes"], about["faces"], result, strip))
    assert found[0] == found[1]


def _engine_message(painter: Painter) -> str:
    """What the page is told of the engine; frames before it are passed by."""
    while True:
        message = painter.socket.recv(20)
        if isinstance(message, str):
            told = json.loads(message)
            assert told["type"] == "engine", told
            return str(told["away"])


def test_a_session_outlives_the_engine(
    deployment: Deployment, local: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "stylemap.editor.remote")
    with _editor(deployment) as (there, _), serving.running(local) as here, Painter(there) as painter:
        painter.scene(SCENE)
        painter.image(painter.stroke(1, POINTS[:1], 5.0, final=True))
        deployment.stop()
        shutil.rmtree(deployment.folder)
        for _ in range(3):
            last = painter.stroke(1, POINTS, 5.0, final=True)
        assert f"the engine at {deployment.url} does not answer" in _engine_message(painter)
        with httpx.Client(base_url=f"http://{there}") as http:
            answer = http.get(f"/api/sessions/{painter.session}/result")
            assert answer.status_code == 503
            assert "does not answer" in answer.json()["error"]
        deployment.start()
        assert _engine_message(painter) == ""
        found = painter.image(last)  # by itself: nobody asked again
        with Painter(here) as other:
            other.scene(SCENE)
            other.stroke(1, POINTS[:1], 5.0, final=True)
            np.testing.assert_array_equal(found, other.image(other.stroke(1, POINTS, 5.0, final=True)))
    said = [record.getMessage() for record in caplog.records]
    assert [text.startswith("the engine at") for text in said] == [True, True], said
    assert "does not answer" in said[0]
    assert said[1].endswith("answers again")


def test_another_model_is_not_taken_for_this_one(
    deployment: Deployment, tmp_path: Path, model_file: str
) -> None:
    there = RemoteComposer(deployment.url)
    recipe = _recipe(there, "alone")
    there.render(recipe)
    deployment.stop()
    other = tiny.model()
    with torch.no_grad():
        next(iter(other.parameters())).add_(1)
    deployment.model = str(tmp_path / "other.safetensors")
    checkpoint.save_safetensors(other, Path(deployment.model), train_args={"held_out_mse": 1.0})
    deployment.start()
    with pytest.raises(Away):
        there.render(recipe)
    _until(lambda: "has another model now, other.safetensors" in there._away)
    deployment.stop()
    deployment.model = model_file
    deployment.start()
    _until(lambda: not there._away)
    there.render(recipe)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_tokens_of_the_engine(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.stop()
    (tmp_path / "tokens").write_text("editor secret 1000\n")
    deployment.settings["tokens"] = str(tmp_path / "tokens")
    deployment.start()
    with pytest.raises(ValueError, match="refuses the token: the request needs a known token"):
        RemoteComposer(deployment.url, "wrong")
    there = RemoteComposer(deployment.url, "secret")
    there.render(_recipe(there, "alone"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--engine", "http://127.0.0.1:9"], "no engine answers at http://127.0.0.1:9: "),
        (["--engine", "nowhere"], "nowhere: Request URL is missing"),
        (["--engine", "{url}", "--model", "other.pt"], "has the model tiny.safetensors, not other.pt"),
        (["--engine", "{url}", "--threads", "2"], "--threads goes with a model here"),
        (["--engine", "{editor}"], "is no stylemap serve, or of another version"),
    ],
)
def test_wrong_flags(
    flags: list[str],
    words: str,
    served: tuple[httpx.Client, Local],
    address: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = str(served[0].base_url).rstrip("/")
    flags = [flag.format(url=url, editor=f"http://{address}") for flag in flags]
    assert main(["edit-server", "--port", "0", *flags]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of an editor's server."""
    with serving.running(serving.studio()) as address:
        yield address


def test_the_interface_is_that_of_a_composer() -> None:
    """What sessions may call is there on both sides."""
    from stylemap.editor.edits import Composing

    methods = {name for name, value in vars(Composing).items() if callable(value) and name[0] != "_"}
    assert "render" in methods
    for kind in (Composer, RemoteComposer):
        assert not [name for name in methods if not callable(getattr(kind, name, None))]
