"""Photos of any size: an aligned square for the model, and the edit back in the photo at full resolution."""

from stylemap.photo.alignment import CONVENTIONS, DRAWN, FFHQ, Convention, align
from stylemap.photo.crop import Crop
from stylemap.photo.landmarks import Landmarks
from stylemap.photo.paste import MODES
from stylemap.photo.photo import Photo

__all__ = ["CONVENTIONS", "DRAWN", "FFHQ", "MODES", "Convention", "Crop", "Landmarks", "Photo", "align"]


def __dir__() -> list[str]:
    return __all__
