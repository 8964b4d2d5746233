"""The editor without its network side: model, photos, directions, sessions, and what they render."""

from __future__ import annotations

import importlib.util
import secrets
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylemap import images
from stylemap.edit.blend import frame_weights
from stylemap.editor import downloads, parts, photos, protocol, recipes
from stylemap.editor.about import About
from stylemap.editor.clients import (
    Client,
    Clients,
    LivePicture,
    OwnImage,
    Snapshot,
    Unavailable,
    told,
)
from stylemap.editor.edits import Composing, Recipe
from stylemap.editor.gallery import Gallery
from stylemap.editor.limits import Buckets, Limits
from stylemap.editor.protocol import ProtocolError
from stylemap.editor.recipes import asked
from stylemap.editor.scene import CAMERA, Scene
from stylemap.editor.scheduler import Scheduler
from stylemap.editor.threads import Split
from stylemap.engine.images import ImageHandle
from stylemap.photo import Convention, faces
from stylemap.photo.models import Knowledge, reconstruction_error

Steps = Generator[None, None, Any]
_NO_IMAGE = ImageHandle(-1)  # of a picture that is not kept


class Studio:
    """What sessions work with. Methods that end in ``_steps`` are jobs: they run in the scheduler's thread.

    Args:
        composer: the model, in this process or elsewhere.
        gallery: photos for everybody.
        limits: of everything.
        knowledge: how faces are aligned for the model, and how well it draws what it knows.
        segmenter: tells the parts of pictures.
    """

    def __init__(
        self,
        composer: Composing,
        gallery: Gallery,
        limits: Limits,
        name: str,
        knowledge: Knowledge | None = None,
        segmenter: parts.Segmenter | None = None,
    ) -> None:
        self.knowledge, self.segmenter = knowledge or Knowledge(), segmenter
        self.composer, self.gallery, self.limits = composer, gallery, limits
        self.name = name
        self.models = [name]
        # Tells browsers that the gallery's pictures are not those of an earlier server at the same address.
        self.instance = secrets.token_hex(8)
        self.config = composer.config
        self.split = Split()
        threads = composer.shared or self.split.frames
        self.scheduler = Scheduler(self._send_frame, threads, self.split.all, composer.shared > 0)
        self.openings = Buckets(limits.session_rate, limits.sessions)
        self.clients = Clients(self.config.size, limits, self._closed)
        self._shared: dict[str, ImageHandle] = {}
        self._sharing = threading.Lock()

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
            segments=self.segmenter is not None,
            models=self.models,
            example=self.gallery.example,
            limits={name: getattr(self.limits, name) for name in shown},
        )

    @property
    def convention(self) -> Convention | None:
        """How faces are aligned for the model; None where it is of something else."""
        return self.knowledge.convention

    @property
    def sliders(self) -> list[str]:
        """The names of all sliders."""
        return self.composer.sliders

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
        others = [scene.mix and scene.mix.image, *(reference.image for reference in scene.references)]
        if CAMERA in others:
            raise ProtocolError(f"{CAMERA}: a camera can be the original alone")
        for image in scene.images - {CAMERA}:
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
        photo = images.to_tensor(picture)
        handle = self.composer.add(photo)
        yield
        error = reconstruction_error(photo, self.composer.render(Recipe(handle)))
        facts = {"far": self.knowledge.is_far(error)}
        return self._keep(client, OwnImage(name, "upload", picture, handle, facts, whole))

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

    def apply_steps(self, client: Client, picture: Image.Image) -> Steps:
        """The edit as it stands on another photo, which is not kept: decodes before and after, 3×S×S, and
        where it was asked for."""
        snapshot = self._full(client)
        handle = self.composer.add(images.to_tensor(picture))
        owner = f"{client.id} applied"
        try:
            yield
            before = self.composer.render(Recipe(handle))
            yield
            after = self.composer.render(self._recipe(client, snapshot, None, handle), owner)
        finally:
            self.composer.forget_temporary(owner)
            self.composer.remove(handle)
        return before, after, asked(snapshot, self.config.latent_spatial_size)

    def parts(self, id: str) -> parts.Parts:
        """The parts of an image.

        Raises:
            KeyError: no such image.
            Unavailable: they are not known.
        """
        drawn = self.gallery.parts(id)
        if drawn is not None:
            return parts.of_labels(drawn)
        picture = self.picture(id)
        if self.segmenter is None:
            raise Unavailable("the parts of this picture are not known: start with --segmenter FILE")
        return parts.of_labels(self.segmenter.labels(picture), self.segmenter.names)

    def sheet_steps(self, client: Client) -> Steps:
        """The contact sheet of the edit as PNG."""
        snapshot = self._full(client)
        original = snapshot.scene.original
        assert original is not None
        result = self._image(client, snapshot)
        yield
        decoded = images.to_image(self.composer.render(Recipe(self._handle(client, original))))
        yield
        shown = self._picture(client, original)
        references = [
            (self.picture(one.image), torch.from_numpy(snapshot.masks[one.mask]) / 255)
            for one in snapshot.scene.references
            if one.on
        ]
        mask = asked(snapshot, self.config.latent_spatial_size)
        return downloads.sheet(shown, decoded, references, mask, result)

    def frames_steps(self, client: Client, count: int, kind: str, milliseconds: int) -> Steps:
        """The edit fading in over ``count`` frames, one per step: kind "gif", "mp4" or "webm" there and back,
        "strip" a PNG of all of them side by side."""
        frames, recipe = [], self._recipe(client, self._full(client), None)
        for picture in self.composer.frames(recipe, frame_weights(count), client.id):
            frames.append(images.to_image(picture))
            yield
        if kind in downloads.VIDEOS:
            try:
                return downloads.film(frames, milliseconds, kind)
            except ImportError as error:
                raise Unavailable(str(error)) from None
        return downloads.gif(frames, milliseconds) if kind == "gif" else downloads.strip(frames)

    def _send_frame(self, client: Client) -> Callable[[], None] | None:
        """Make the frame of a session; what is returned makes the rest of it and needs the model no more."""
        connection, turn = client.connection, client.begin_frame()
        snapshot = client.snapshot()
        if connection is None or snapshot.scene.original is None:
            return None
        begin = time.perf_counter()
        exact, pixels = snapshot.final, client.pixels and not snapshot.final

        def send(image: Tensor) -> None:
            picture = images.to_image(image)
            data = picture.tobytes() if pixels else photos.frame(picture, exact=exact)
            spent = 1000 * (time.perf_counter() - begin)
            client.send(
                turn,
                connection,
                lambda number: protocol.frame(number, snapshot.seq, spent, data, exact, pixels=pixels),
            )

        made = None
        with told(client, connection):
            self._see(client, snapshot)
            if client.live is not None and self.composer.beside:
                recipe = self._recipe(client, snapshot, None, _NO_IMAGE)
                made = self.composer.work(recipe, images.to_tensor(client.live.picture))
            else:
                send(self.composer.render(self._recipe(client, snapshot, None), client.id))
        if made is None:  # it is sent, or something went wrong and was told
            return None
        work = made

        def rest() -> None:
            with told(client, connection), self.split.share():
                send(work())

        return rest

    def engine_back(self) -> None:
        """The model answers again: what was not rendered meanwhile is. Any thread may call."""
        for client in self.clients:
            if client.told_away and client.connection is not None:
                client.told_away = False
                client.connection.send_engine("")
            client.again()
        self.scheduler.wake()

    def _see(self, client: Client, snapshot: Snapshot) -> None:
        """Take the camera's picture, where a new one came, in the place of the last one.

        Raises:
            images.ImageError: it is none, or of another size than the model's.
        """
        before = client.live
        if snapshot.scene.original != CAMERA:
            client.live = None
        elif snapshot.picture is not None:
            data, pixels = snapshot.picture.data, snapshot.picture.pixels
            client.live = LivePicture(photos.camera_picture(data, self.config.size, pixels=pixels))
        if before is not None and before.handle is not None and client.live is not before:
            self.composer.remove(before.handle)

    def _picture(self, client: Client, id: str) -> Image.Image:
        """The square photo behind an id of a scene."""
        return client.live.picture if id == CAMERA and client.live is not None else self.picture(id)

    def _full(self, client: Client) -> Snapshot:
        """The state for a job, which leaves the next frame due."""
        snapshot = Snapshot(client.scene, {m: client.mask(m) for m in client.scene.masks}, 0, True)
        if snapshot.scene.original is None:
            raise Unavailable("choose an original first")
        return snapshot

    def _image(self, client: Client, snapshot: Snapshot) -> Image.Image:
        return images.to_image(self.composer.render(self._recipe(client, snapshot, None), client.id))

    def _recipe(
        self, client: Client, snapshot: Snapshot, weight: float | None, original: ImageHandle | None = None
    ) -> Recipe:
        """The recipe of a snapshot, on another original where one is given."""
        assert snapshot.scene.original is not None
        original = original or self._handle(client, snapshot.scene.original)
        return recipes.make(snapshot, original, lambda id: self._handle(client, id), weight)

    def _handle(self, client: Client, id: str) -> ImageHandle:
        """An image's handle; the gallery's are encoded when they are first used."""
        if id in client.images:
            return client.images[id].handle
        if id == CAMERA:
            if client.live is None:
                raise Unavailable("the camera has sent no picture yet")
            if client.live.handle is None:
                picture = images.to_tensor(client.live.picture)
                client.live.handle = self.composer.add(picture, prepare=False)
            return client.live.handle
        with self._sharing:  # the scheduler may have several threads
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
            if client.live is not None and client.live.handle is not None:
                self.composer.remove(client.live.handle)
            client.live = None

        self.scheduler.remove(client, clean)
