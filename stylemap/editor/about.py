"""What clients learn of a model before they begin."""

from __future__ import annotations

from pydantic import BaseModel

from stylemap.editor.gallery import Example


class About(BaseModel):
    """A model and its limits, for clients.

    stylemap: K×L×L. codes: the sides of its stylecodes. sliders: their names. classes: those that random
    images can be of, none where there is no choice. faces: whether faces can be found in photos. videos:
    whether animations can be videos. segments: whether the parts of any picture are known, and not those of
    drawn faces alone. models: the names of all models that this server has. example: what a first visit
    opens on.
    """

    name: str
    size: int
    stylemap: list[int]
    codes: list[int]
    sliders: list[str]
    classes: list[str]
    faces: bool
    videos: bool
    segments: bool
    models: list[str]
    example: Example | None
    limits: dict[str, int]
