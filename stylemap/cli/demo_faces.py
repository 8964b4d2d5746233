"""The picture of the demonstration: parts of generated faces exchanged, and attributes changed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import stylemap
from stylemap import edit
from stylemap.data.faces import FacesDataset, Part
from stylemap.model import StyleMapGAN
from stylemap.sheets import Row, Tile, contact_sheet, overlay

# Held-out faces, which training has not seen: who is edited, and whose part each edit takes.
FACE = 3
REFERENCES = {"mouth": 4, "eyes": 10, "hair": 26}
_PARTS = {
    "mouth": (Part.MOUTH,),
    "eyes": (Part.EYES, Part.BROWS, Part.GLASSES),
    "hair": (Part.HAIR,),
}
_MARGIN = 3 / 128  # around a part, of the side: its border belongs to it
_SMALLEST_TILE = 256
# Attribute, steps along its direction, caption.
MOVES = (
    ("smile", -1.8, "frown"),
    ("glasses", 1.6, "glasses"),
    ("blond hair", 1.1, "blond hair"),
    ("long hair", -1.4, "short hair"),
)


class DemoFaces:
    """The faces at ``size``, and masks of their parts."""

    def __init__(self, size: int) -> None:
        self._dataset = FacesDataset(size, max(FACE, *REFERENCES.values()) + 1, held_out=True)

    def photo(self, index: int) -> Tensor:
        """1 x 3 x S x S in [-1, 1]."""
        return self._dataset.batch([index])

    def mask(self, part: str) -> Tensor:
        """bool S x S: the part in the edited face and in the reference, united and dilated by a margin."""
        values = torch.tensor(_PARTS[part], dtype=torch.uint8)
        found = torch.isin(self._dataset.parts([FACE, REFERENCES[part]]), values).any(0)
        margin = round(_MARGIN * self._dataset.size)
        return F.max_pool2d(found[None, None].float(), 2 * margin + 1, stride=1, padding=margin)[0, 0] > 0


@torch.no_grad()
def sheet(
    model: StyleMapGAN, faces: DemoFaces, directions: Mapping[str, edit.NamedDirection], note: str
) -> Image.Image:
    """The contact sheet: one row per exchanged part, and one row of moves along directions."""
    like = model.like
    original = faces.photo(FACE)
    session = stylemap.EditSession(model, device=like.device)
    handle = session.add(original.to(like))
    decoded = session.edit(handle).cpu()
    rows: list[Row] = []
    for part, index in REFERENCES.items():
        photo, mask = faces.photo(index), faces.mask(part)
        result = session.edit(handle, [session.reference(session.add(photo.to(like)), mask)])
        taken = Tile(overlay(photo[0], [mask]))
        rows.append([Tile(original[0]), Tile(decoded), Tile(photo[0]), taken, Tile(result.cpu())])
    moved: list[Tile | None] = [Tile(decoded, "decoded")]
    for name, steps, caption in MOVES:
        one = directions[name]
        picture = session.manipulate(handle, one.vector.to(like), steps * one.step)
        moved.append(Tile(picture.cpu(), caption))
    return contact_sheet(
        [*rows, moved],
        title="stylemap: local edits, and moves along semantic directions",
        note=note,
        columns=["original", "decoded", "reference", "part taken", "edited"],
        labels=[*REFERENCES, "directions"],
        tile=max(_SMALLEST_TILE, decoded.shape[-1]),
    )
