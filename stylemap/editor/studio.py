"""The editor without its network side: model, photos, directions, sessions, and what they render."""

from __future__ import annotations

import importlib.util
import secrets
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel
from torch import Tensor

from stylemap import images, ops
from stylemap.edit.blend import frame_weights
from stylemap.edit.masks import pool_max
from stylemap.edit.modulate_map import modulate_map
from stylemap.editor import downloads, photos, protocol
from stylemap.editor.clients import Client, Clients, OwnImage, Snapshot, Unavailable
from stylemap.editor.composer import Composer, Part, Recipe
from stylemap.editor.gallery import Gallery
from stylemap.editor.limits import Buckets, Limits
from stylemap.editor.protocol import ProtocolError
from stylemap.editor.scene import Scene
from stylemap.editor.scheduler import Scheduler
from stylemap.engine.images import ImageHandle
from stylemap.photo import FFHQ, Convention, faces

Steps = Generator[None, None, Any]
AMPLIFY = "amplify"
"""The slider that multiplies the stylemap by 1 + strength · mask: 1 doubles it, -1 silences it."""


class About(BaseModel):
    """A model and its limits, for clients.

    stylemap: K×L×L. codes: the sides of its stylecodes. sliders: their names. classes: those that random
    images can be of, none where there is no choice. faces: whether faces can be found in photos. videos:
    whether animations can be videos.
    """

    name: str
    size: int
    stylemap: list[int]
    codes: list[int]
    sliders: list[str]
    classes: list[str]
    faces: bool
    videos: bool
    limits: dict[str, int]


class Studio:
    """What sessions work with. Methods that end in ``_steps`` are jobs: they run in the scheduler's thread.

    Args:
        composer: the model.
        gallery: photos for everybody.
        directions: what sliders at 1 add to a stylemap, K×L×L by name.
        limits: of everything.
        convention: how faces are aligned for the model; None where it is of something else.
    """

    def __init__(
        self,
        composer: Composer,
        gallery: Gallery,
        directions: dict[str, Tensor],
        limits: Limits,
        name: str,
        convention: Convention | None = FFHQ,
    ) -> None:
        self.convention = convention
        self.composer, self.gallery, self.directions, self.limits = composer, gallery, directions, limits
        self.name = name
        # Tells browsers that the gallery's pictures are not those of an earlier server at the same address.
        self.instance = secrets.token_hex(8)
        self.config = composer.config
        self.scheduler = Scheduler(self._send_frame)
        self.openings = Buckets(limits.session_rate, limits.sessions)
        self.clients = Clients(self.config.size, limits, self._closed)
        self._shared: dict[str, ImageHandle] = {}

    def about(self) -> About:
        """What clients need to know about the model and the limits."""
        shown = ("references", "uploads", "upload_bytes", "upload_pixels", "frames", "points")
        return About(
            name=self.name,
            size=self.config.size,
            stylemap=list(self.config.stylemap_shape),
            codes=[height for _, height, _ in self.config.stylecode_shapes],
            sliders=self.sliders,
            classes=self.classes,
            faces=self.convention is not None and faces.available(),
            videos=importlib.util.find_spec("av") is not None,
            limits={name: getattr(self.limits, name) for name in shown},
        )

    @property
    def sliders(self) -> list[str]:
        """The names of all sliders: the directions, and `AMPLIFY`."""
        return [*self.directions, AMPLIFY]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, where there is more than one."""
        names = self.composer.class_names
        return list(names) if len(names) > 1 else []

    def open_client(self) -> Client:
        """A new session."""
        client = self.clients.create()
        self.scheduler.add(client)
        return client

    def check(self, client: Client, scene: Scene) -> Scene:
        """The scene, if this model and this session can show it.

        Raises:
            ProtocolError: it has too many references, or sliders or stylecodes that the model lacks.
            Unavailable: an image is gone.
        """
        codes, most = len(self.config.stylecode_shapes), self.limits.references
        if len(scene.references) > most:
            raise ProtocolError(f"references: at most {most}")
        if any(name not in self.sliders for name in scene.sliders):
            raise ProtocolError("sliders: one has a name that is unknown here")
        if scene.mix and any(code >= codes for code in scene.mix.codes):
            raise ProtocolError(f"mix.codes: numbers from 0 to {codes - 1}")
        for image in scene.images:
            if image not in client.images and image not in self.gallery:
                raise Unavailable(f"image {image} is not here any more")
        return scene

    def picture(self, id: str) -> Image.Image:
        """The square photo behind an id, of the gallery or of any session that told it.

        Raises:
            KeyError: there is none.
        """
        for client in self.clients:
            if id in client.images:
                return client.images[id].picture
        return self.gallery.image(id)

    def add_upload_steps(
        self, client: Client, picture: Image.Image, name: str, whole: photos.WholePhoto | None = None
    ) -> Steps:
        """Encode a decoded upload; returns its id. whole: the photo that the picture is a square of."""
        handle = self.composer.add(images.to_tensor(picture))
        return self._keep(client, OwnImage(name, "upload", picture, handle, {}, whole))
        yield

    def add_random_steps(
        self, client: Client, seed: int, truncation: float, class_name: str | None = None
    ) -> Steps:
        """A random image, of a class where one is named; returns its id."""
        if class_name is not None and class_name not in self.classes:
            raise ProtocolError(f"class_name: one of {', '.join(self.classes) or 'none'}")
        try:
            handle = self.composer.add_stylemap(self.composer.random(seed, truncation, class_name))
        except FileNotFoundError:
            raise Unavailable("this exported model has no mapping network to draw faces with") from None
        picture = images.to_image(self.composer.render(Recipe(handle)))
        facts = {"seed": seed, "truncation": truncation, "class_name": class_name}
        name = f"Random {seed}" if class_name is None else f"{class_name.capitalize()} {seed}"
        return self._keep(client, OwnImage(name, "random", picture, handle, facts))
        yield

    def remove_image_steps(self, client: Client, id: str) -> Steps:
        """Forget one of a session's images."""
        self.composer.remove(client.images.pop(id).handle)
        return None
        yield

    def result_steps(self, client: Client, kind: photos.Kind = "png") -> Steps:
        """The exact image as a file of that kind."""
        return photos.encoded(self._image(client, self._full(client)), kind)
        yield

    def whole_steps(self, client: Client) -> Steps:
        """What `photos.pasted` puts into the original's photo: it, the decodes before and after, the mask.

        Raises:
            Unavailable: the original is no photo that is kept whole.
        """
        snapshot = self._full(client)
        own = client.images.get(snapshot.scene.original or "")
        if own is None or own.whole is None:
            raise Unavailable("the original is a square: there is no photo around it")
        before = self.composer.render(Recipe(own.handle))
        yield
        after = self.composer.render(self._recipe(client, snapshot, None), client.id)
        return own.whole, before, after, asked(snapshot, self.config.latent_spatial_size)

    def sheet_steps(self, client: Client) -> Steps:
        """The contact sheet of the edit as PNG."""
        snapshot = self._full(client)
        original = snapshot.scene.original
        assert original is not None
        result = self._image(client, snapshot)
        yield
        decoded = images.to_image(self.composer.render(Recipe(self._handle(client, original))))
        yield
        references = [
            (self.picture(one.image), torch.from_numpy(snapshot.masks[one.mask]) / 255)
            for one in snapshot.scene.references
            if one.on
        ]
        mask = asked(snapshot, self.config.latent_spatial_size)
        return downloads.sheet(self.picture(original), decoded, references, mask, result)

    def frames_steps(self, client: Client, count: int, kind: str, milliseconds: int) -> Steps:
        """The edit fading in over ``count`` frames, one per step: kind "gif", "mp4" or "webm" there and back,
        "strip" a PNG of all of them side by side."""
        snapshot, frames = self._full(client), []
        for weight in frame_weights(count):
            frames.append(self._image(client, snapshot, weight))
            yield
        if kind in downloads.VIDEOS:
            try:
                return downloads.film(frames, milliseconds, kind)
            except ImportError as error:
                raise Unavailable(str(error)) from None
        return downloads.gif(frames, milliseconds) if kind == "gif" else downloads.strip(frames)

    def _send_frame(self, client: Client) -> None:
        connection = client.connection
        snapshot = client.snapshot()
        if connection is None or snapshot.scene.original is None:
            return
        begin = time.perf_counter()
        try:
            image = self._image(client, snapshot)
        except (ValueError, OSError, KeyError) as error:
            connection.send_notice(f"this cannot be rendered: {error}")
            return
        except Exception:
            connection.send_notice("the model failed on this edit: the server's log says why")
            raise
        data = photos.png(image) if snapshot.final else photos.jpeg(image)
        spent = 1000 * (time.perf_counter() - begin)
        connection.send_frame(protocol.frame(client.next_frame(), snapshot.seq, spent, data, snapshot.final))

    def _full(self, client: Client) -> Snapshot:
        """The state for a job, which leaves the next frame due."""
        snapshot = Snapshot(client.scene, {m: client.mask(m) for m in client.scene.masks}, 0, True)
        if snapshot.scene.original is None:
            raise Unavailable("choose an original first")
        return snapshot

    def _image(self, client: Client, snapshot: Snapshot, weight: float | None = None) -> Image.Image:
        return images.to_image(self.composer.render(self._recipe(client, snapshot, weight), client.id))

    def _recipe(self, client: Client, snapshot: Snapshot, weight: float | None) -> Recipe:
        scene, parts = snapshot.scene, []
        assert scene.original is not None
        for reference in scene.references:
            mask = snapshot.masks.get(reference.mask)
            if reference.on and mask is not None and mask.any():
                pixels = torch.from_numpy(mask).float() / 255
                parts.append(Part(self._handle(client, reference.image), pixels, reference.shift))
        mix = scene.mix and (self._handle(client, scene.mix.image), scene.mix.codes)
        weight = scene.weight if weight is None else weight
        original = self._handle(client, scene.original)
        offset = self._offset(scene, snapshot.masks, original)
        return Recipe(original, parts, weight, offset, mix or None)

    def _offset(
        self, scene: Scene, masks: dict[int, NDArray[np.uint8]], original: ImageHandle
    ) -> Tensor | None:
        """What all sliders together add to the original's stylemap; None where nothing."""
        total = torch.zeros(self.config.stylemap_shape)
        for name, slider in scene.sliders.items():
            pixels = None
            if slider.mask is not None:
                if slider.mask not in masks:
                    continue
                pixels = torch.from_numpy(masks[slider.mask])[None].float() / 255
            if name in self.directions:
                step = slider.strength * self.directions[name]
                total += step if pixels is None else step * pool_max(pixels[None], total.shape[-1])[0]
            elif slider.strength:
                total += self._amplified(original, slider.strength, pixels)
        return total if bool(total.any()) else None

    def _amplified(self, original: ImageHandle, strength: float, pixels: Tensor | None) -> Tensor:
        """What multiplying the original's stylemap by a painted map adds to it. pixels: 1×S×S in [0, 1]."""
        w = self.composer.stylemap(original).float().cpu()
        painted = torch.ones(1, *w.shape[2:]) if pixels is None else pixels
        return (modulate_map(w, 1 + painted, strength) - w)[0]

    def _handle(self, client: Client, id: str) -> ImageHandle:
        """An image's handle; the gallery's are encoded when they are first used."""
        if id in client.images:
            return client.images[id].handle
        if id not in self._shared:
            self._shared[id] = self.composer.add(images.to_tensor(self.gallery.image(id)))
        return self._shared[id]

    def _keep(self, client: Client, image: OwnImage) -> str:
        if self.clients.get(client.id) is not client:  # it went while this was made
            self.composer.remove(image.handle)
            raise Unavailable("the session has ended")
        return client.add_image(image)

    def _closed(self, client: Client) -> None:
        def clean() -> None:
            self.composer.forget_temporary(client.id)
            for image in client.images.values():
                self.composer.remove(image.handle)
            client.images.clear()

        self.scheduler.remove(client, clean)


def asked(snapshot: Snapshot, cells: int) -> Tensor | None:
    """Where an edit was asked for, S×S of 0 and 1; None for everywhere.

    cells: side of the stylemap, whose cells a slider's mask acts on.
    """
    scene = snapshot.scene
    sliders = [slider for slider in scene.sliders.values() if slider.strength]
    if scene.mix is not None or any(slider.mask is None for slider in sliders):
        return None
    planes = []
    for reference in scene.references:
        if reference.on and reference.mask in snapshot.masks:
            mask = torch.from_numpy(snapshot.masks[reference.mask])[None, None] / 255
            right, down = (round(pixels) for pixels in reference.shift)
            shift = (right, down)
            planes.append(ops.blend(torch.zeros_like(mask), mask, mask > 0.5, shift=shift)[0, 0])
    for slider in sliders:
        if slider.mask in snapshot.masks:
            pixels = torch.from_numpy(snapshot.masks[slider.mask])[None, None] / 255
            touched, factor = pool_max(pixels, cells)[0, 0] > 0, pixels.shape[-1] // cells
            planes.append(touched.repeat_interleave(factor, 0).repeat_interleave(factor, 1).float())
    return (torch.stack(planes).amax(0) > 0.5).float() if planes else None
