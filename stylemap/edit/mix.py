"""Style mixing: some stylecodes of one image, the rest of another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

from stylemap.edit.checks import check_pair

if TYPE_CHECKING:
    from stylemap.model import Model


def mix_styles(model: Model, a: Tensor, b: Tensor, take: str | Iterable[int] = "coarse") -> Tensor:
    """Decode the stylecodes of ``a`` with some of them taken from ``b``.

    Args:
        model: the network.
        a: stylemaps N x K x L x L.
        b: the same, of the second images; batches of 1 broadcast.
        take: "coarse" keeps a's first two codes and takes the rest from b; "fine" takes the first two
            from b; otherwise the indices of the codes to take from b.

    Returns:
        Images N x 3 x S x S in [-1, 1].

    Raises:
        ValueError: shapes that do not go together, an unknown word, an index that does not exist.
    """
    check_pair(a, b, "a", "b")
    codes_a, codes_b = model.stylecodes(a), model.stylecodes(b)
    chosen = code_indices(take, len(codes_a))
    batch = max(a.shape[0], b.shape[0])
    mixed = [codes_b[i] if i in chosen else codes_a[i] for i in range(len(codes_a))]
    return model.synthesize([code.expand(batch, -1, -1, -1) for code in mixed])


def code_indices(take: str | Iterable[int], count: int) -> set[int]:
    """Which of ``count`` codes come from the second image.

    Args:
        take: as in ``mix_styles``.
        count: number of codes.

    Raises:
        ValueError: an unknown word, or an index that does not exist.
    """
    if isinstance(take, str):
        words = {"coarse": range(2, count), "fine": range(2)}
        if take not in words:
            raise ValueError(f"take must be 'coarse', 'fine' or code indices, got {take!r}")
        return set(words[take])
    chosen = set(take)
    wrong = sorted(i for i in chosen if not 0 <= i < count)
    if wrong:
        raise ValueError(f"code {wrong[0]} does not exist: this model has codes 0 to {count - 1}")
    return chosen
