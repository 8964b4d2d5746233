"""Inversion by optimisation: refine a stylemap until it decodes to a given image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from stylemap.perceptual import FeatureDistance

if TYPE_CHECKING:
    from stylemap.model import Model

Perceptual = Callable[[Tensor, Tensor], Tensor]


class Inversion(NamedTuple):
    """The stylemap with the lowest loss seen, N x K x L x L, and the loss before every step and at the end,
    (steps + 1) x N float32 on the CPU."""

    stylemap: Tensor
    losses: Tensor


def invert(
    model: Model,
    image: Tensor,
    *,
    steps: int = 200,
    learning_rate: float = 0.01,
    start: str | Tensor = "encoder",
    pixel_weight: float = 1.0,
    perceptual_weight: float = 1.0,
    perceptual: Perceptual | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Inversion:
    """Minimise pixel_weight * MSE + perceptual_weight * perceptual distance over w by Adam.

    The network is frozen; each image of a batch is optimised on its own.

    Args:
        model: the network.
        image: N x 3 x S x S in [-1, 1].
        steps: of Adam; 0 only evaluates the start.
        learning_rate: of Adam.
        start: "encoder" for E(image), "mean" for the mean stylemap, or a stylemap N x K x L x L or 1 x ....
        pixel_weight, perceptual_weight: of the two losses.
        perceptual: (x, y) to N distances (or a shape of N elements); ``FeatureDistance`` where None.
        progress: called with (step, mean loss) after every evaluation, step 0 ... steps.

    Raises:
        ValueError: a wrong shape, a negative number of steps, an unknown start.
        FloatingPointError: the loss stopped being finite; the message names the step.
    """
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}")
    with torch.no_grad():
        first = _start(model, image, start)
    distance = FeatureDistance().to(image.device) if perceptual is None else perceptual
    losses: list[Tensor] = []
    best, best_loss = first, torch.full((len(image),), torch.inf, device=image.device)
    with _frozen(model), torch.enable_grad():
        # Adam's epsilon and steps vanish in half precision: w stays in float32 or better.
        w = first.to(torch.promote_types(first.dtype, torch.float32), copy=True).requires_grad_(True)
        optimiser = torch.optim.Adam([w], lr=learning_rate)
        for step in range(steps + 1):
            decoded = model.decode(w.to(first.dtype)).to(w.dtype)
            pixel = (decoded - image).square().mean((1, 2, 3))
            loss = pixel_weight * pixel
            if perceptual_weight != 0:
                loss = loss + perceptual_weight * distance(decoded, image.to(w.dtype)).reshape(len(image))
            current = loss.detach()
            if not bool(current.isfinite().all()):
                raise FloatingPointError(f"the loss is not finite at step {step}: {current.tolist()}")
            better = current < best_loss
            best = torch.where(better[:, None, None, None], w.detach().to(best.dtype), best)
            best_loss = torch.where(better, current, best_loss)
            losses.append(current.float().cpu())
            if progress is not None:
                progress(step, float(current.mean()))
            if step < steps:
                (w.grad,) = torch.autograd.grad(loss.sum(), w)
                optimiser.step()
    return Inversion(best, torch.stack(losses))


def _start(model: Model, image: Tensor, start: str | Tensor) -> Tensor:
    encoded = model.encode(image)
    if isinstance(start, Tensor):
        if start.shape[1:] != encoded.shape[1:] or start.shape[0] not in (1, len(image)):
            raise ValueError(f"start must be a stylemap {tuple(encoded.shape)}, got {tuple(start.shape)}")
        return start.detach().to(encoded).expand_as(encoded)
    if start == "encoder":
        return encoded
    if start == "mean":
        return model.mean_stylemap().to(encoded).reshape(1, *encoded.shape[1:]).expand_as(encoded)
    raise ValueError(f"start must be 'encoder', 'mean' or a stylemap, got {start!r}")


@contextmanager
def _frozen(model: Model) -> Iterator[None]:
    """Inside the block the weights take no gradients; after it those that did before do again."""
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
