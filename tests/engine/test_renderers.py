"""What sessions run on: any model, with its own way to blend, and stages that may be watched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import EditSession, edit
from stylemap.engine.renderer import PlainRenderer
from stylemap.model import Blending, Model, Sampling
from stylemap.ops import _native
from tests.helpers import tiny

pytestmark = pytest.mark.usefixtures("one_thread")


class Other(Sampling):
    """A model that is no nn.Module, as an exported one is."""

    def __init__(self) -> None:
        self._model = tiny.model()
        self.config, self.like = self._model.config, self._model.like
        self.encode, self.stylecodes = self._model.encode, self._model.stylecodes
        self.synthesize, self.decode, self.map = self._model.synthesize, self._model.decode, self._model.map

    def __call__(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))


class WithEditor(Other):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def edit(self, *args: Any, **kwargs: Any) -> Tensor:
        self.calls += 1
        return edit.blend(self._model, *args, **kwargs)


def edited(session: EditSession, weight: float = 0.7) -> Tensor:
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 6:18] = 1
    original, other = (session.add(photo) for photo in tiny.photos(2))
    return session.edit(original, [session.reference(other, mask, (3.7, -4))], weight)


def test_a_session_of_any_model() -> None:
    plain = edited(EditSession(tiny.model(), renderer=PlainRenderer(tiny.model())))
    other, with_editor = Other(), WithEditor()
    assert not isinstance(other, Blending)
    assert isinstance(with_editor, Blending)
    for model in (other, with_editor):
        assert torch.equal(edited(EditSession.of(model)), plain)
        assert torch.equal(edited(EditSession(model)), plain)
    assert with_editor.calls == 2
    with pytest.raises(ValueError, match="this model runs on cpu"):
        EditSession(other, precision="bf16")
    with pytest.raises(ValueError, match="'meta' is not available"):
        EditSession(other, "meta")


def test_sampling_is_the_checkpoints() -> None:
    other: Model = Other()
    z = edit.latents(other, 2, seed=1)
    mean = other.mean_stylemap(samples=40)
    assert torch.equal(mean, tiny.model().mean_stylemap(samples=40))
    assert torch.equal(other.sample(z, 0.5, mean), tiny.model().sample(z, 0.5, mean))


@pytest.mark.skipif(not _native.loaded(), reason="the native library is not built")
def test_stages_can_be_watched_and_change_nothing() -> None:
    session, entered, within = EditSession(tiny.model()), [], 0

    @contextlib.contextmanager
    def stage(name: str) -> Iterator[None]:
        nonlocal within
        within += 1
        entered.append(name)
        yield
        within -= 1

    unwatched = edited(session)
    assert entered == []
    session.renderer.stage = stage
    assert torch.equal(edited(session), unwatched)
    assert set(entered) == {"mask", "blend", "modulation", "main path"}
    assert entered.count("main path") == 1
    assert within == 0
