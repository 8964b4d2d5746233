"""Pairs of drawn faces that differ in one attribute."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from stylemap.data.faces import LABEL_NAMES, labels, render, sample_attributes
from stylemap.data.faces.changes import CHANGES, with_and_without
from stylemap.metrics.directions import ATTRIBUTES, attribute_labels


@pytest.mark.parametrize("name", CHANGES)
def test_the_label_is_on_and_off_and_the_rest_stays(name: str) -> None:
    having, lacking = with_and_without(sample_attributes(0, range(60)), name)
    assert len(having) == len(lacking) > 30
    on, off = (torch.from_numpy(labels(side)) for side in (having, lacking))
    assert (attribute_labels(on, name) == 1).all()
    assert (attribute_labels(off, name) == 0).all()
    others = set(ATTRIBUTES) - {name, "long hair" if name == "hat" else name}
    if name == "long hair":  # long hair goes without hats, as short hair does here
        others -= {"hat"}
    for other in others:
        label = LABEL_NAMES.index(ATTRIBUTES[other][0])
        if other == "blond hair" or label in (LABEL_NAMES.index("smiling"),):
            continue
        assert torch.equal(on[:, label], off[:, label]), other


@pytest.mark.parametrize("name", ["glasses", "smile", "lipstick", "beard"])
def test_pictures_differ_where_the_attribute_is(name: str) -> None:
    having, lacking = with_and_without(sample_attributes(3, range(6)), name)
    pictures = [render(side, 64)[0].int() for side in (having, lacking)]
    changed = (pictures[0] - pictures[1]).abs().sum(1) > 30
    assert changed.any((1, 2)).all()
    assert changed.float().mean() < 0.35
    assert not changed[:, :8].any(), "the backdrop above the head is the same"


def test_only_named_fields_change() -> None:
    faces = sample_attributes(0, range(5))
    changed = faces.replace(smile=np.ones(5))
    same = [f.name for f in dataclasses.fields(faces) if getattr(faces, f.name) is getattr(changed, f.name)]
    assert len(same) == len(dataclasses.fields(faces)) - 1


def test_another_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match="no attribute 'wings', but smile"):
        with_and_without(sample_attributes(0, range(2)), "wings")
