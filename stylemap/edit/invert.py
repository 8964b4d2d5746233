"""Inversion by optimisation: refine a stylemap, or the z it is mapped from, until it decodes to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stylemap.edit.invert_loss import InversionLoss, Perceptual
from stylemap.edit.sample import latents
from stylemap.inputs import ImagesLike, image_batch

if TYPE_CHECKING:
    from stylemap.model import Model

# Pixel norm forgets the length of z, so one random z has no better start than another: the best of some.
_Z_CANDIDATES = 16


@dataclass(frozen=True)
class Inversion:
    """What `invert` found; unpacks as (stylemap, losses).

    stylemap: of the lowest loss seen, N x K x L x L.
    losses: the weighted sum before every step and at the end, (steps + 1) x N float32 on the CPU; after a
        search for z, the w_steps + 1 rows of the stylemap's refinement follow.
    curves: the same of every loss by its name ("l1", "mse", "perceptual"), without its weight.
    start: the stylemap of the first step, N x K x L x L.
    z: N x K of the lowest loss seen, where the search began with z.
    """

    stylemap: Tensor
    losses: Tensor
    curves: Mapping[str, Tensor]
    start: Tensor
    z: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.stylemap, self.losses))


def invert(
    model: Model,
    image: ImagesLike,
    *,
    steps: int = 200,
    w_steps: int = 0,
    learning_rate: float = 0.01,
    start: str | Tensor = "encoder",
    seed: int = 0,
    l1_weight: float = 0.0,
    pixel_weight: float = 1.0,
    perceptual_weight: float = 1.0,
    perceptual: Perceptual | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Inversion:
    """Minimise l1_weight * L1 + pixel_weight * MSE + perceptual_weight * perceptual distance by Adam.

    The network is frozen; each image of a batch is optimised on its own.

    Args:
        model: the network.
        image: N x 3 x S x S in [-1, 1], or pictures (see `stylemap.inputs.ImagesLike`).
        steps: of Adam, on w, or on z with such a start; 0 only evaluates the start.
        w_steps: after the search for z, steps on the stylemap it maps to; 0 leaves that out.
        learning_rate: of Adam.
        start: "encoder" for E(image); "mean" for the mean stylemap; "z" for the best of 16 random z, which
            is then optimised through the mapping network; a stylemap N x K x L x L or 1 x ...; or a z
            N x K or 1 x K.
        seed: of the random z.
        l1_weight, pixel_weight, perceptual_weight: of the losses; one of weight 0 is not computed.
        perceptual: (x, y) to N distances (or a shape of N elements); ``FeatureDistance`` where None.
        progress: called with (step, mean loss) after every evaluation, step 0 ... steps, and on to
            steps + w_steps + 1 where w_steps is above 0.

    Raises:
        ValueError: a wrong shape, a negative number of steps or weight, no loss, w_steps without z, an
            unknown start, z and a model of several classes.
        FloatingPointError: the loss stopped being finite; the message names the step.
    """
    _check_steps(steps, w_steps, start)
    loss = InversionLoss(
        image_batch(image, model.config.size, model.like, "image"),
        l1_weight,
        pixel_weight,
        perceptual_weight,
        perceptual,
    )
    with _frozen(model):
        first = _start(model, loss, start, seed)
        if first.ndim == 2 and len(getattr(model, "class_names", ())) > 1:
            raise ValueError("a search for z needs one class: give it model.of_class(name)")
        if first.ndim == 4:
            found = _optimise(loss, first, model.decode, steps, learning_rate, progress)
            return Inversion(found.variable, *found.curves(), first)
        by_z = _optimise(loss, first, lambda z: model.decode(model.map(z)), steps, learning_rate, progress)
        with torch.no_grad():
            begun, w = model.map(first), model.map(by_z.variable)
        if w_steps == 0:
            return Inversion(w, *by_z.curves(), begun, by_z.variable)
        after = None if progress is None else _moved(progress, steps + 1)
        by_w = _optimise(loss, w, model.decode, w_steps, learning_rate, after)
    totals, curves = by_z.curves()
    more, more_curves = by_w.curves()
    joined = {name: torch.cat([curve, more_curves[name]]) for name, curve in curves.items()}
    return Inversion(by_w.variable, torch.cat([totals, more]), joined, begun, by_z.variable)


@dataclass
class _Search:
    """The best variable of each image so far, its loss, and what every evaluation gave."""

    variable: Tensor
    lowest: Tensor
    totals: list[Tensor]
    terms: dict[str, list[Tensor]]

    def curves(self) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.stack(self.totals), {name: torch.stack(rows) for name, rows in self.terms.items()}

    def note(self, variable: Tensor, total: Tensor, terms: Mapping[str, Tensor]) -> None:
        better = total < self.lowest
        each = better.reshape(-1, *[1] * (variable.ndim - 1))
        self.variable = torch.where(each, variable.to(self.variable.dtype), self.variable)
        self.lowest = torch.where(better, total, self.lowest)
        self.totals.append(total.float().cpu())
        for name, value in terms.items():
            self.terms[name].append(value.detach().float().cpu())


def _optimise(
    loss: InversionLoss,
    first: Tensor,
    decode: Callable[[Tensor], Tensor],
    steps: int,
    learning_rate: float,
    progress: Callable[[int, float], None] | None,
) -> _Search:
    """Adam on w or z, beginning at ``first``."""
    lowest = torch.full((len(first),), torch.inf, device=first.device)
    search = _Search(first, lowest, [], {name: [] for name in loss.names})
    with torch.enable_grad():
        # Adam's epsilon and steps vanish in half precision: the variable stays in float32 or better.
        variable = first.to(torch.promote_types(first.dtype, torch.float32), copy=True).requires_grad_(True)
        optimiser = torch.optim.Adam([variable], lr=learning_rate)
        for step in range(steps + 1):
            total, terms = loss(decode(variable.to(first.dtype)).to(variable.dtype))
            current = total.detach()
            if not bool(current.isfinite().all()):
                raise FloatingPointError(f"the loss is not finite at step {step}: {current.tolist()}")
            search.note(variable.detach(), current, terms)
            if progress is not None:
                progress(step, float(current.mean()))
            if step < steps:
                (variable.grad,) = torch.autograd.grad(total.sum(), variable)
                optimiser.step()
    return search


def _check_steps(steps: int, w_steps: int, start: str | Tensor) -> None:
    for name, value in (("steps", steps), ("w_steps", w_steps)):
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    from_z = start.ndim == 2 if isinstance(start, Tensor) else start == "z"
    if w_steps > 0 and not from_z:
        raise ValueError("w_steps follow a search for z: start must be 'z' or a z")


@torch.no_grad()
def _start(model: Model, loss: InversionLoss, start: str | Tensor, seed: int) -> Tensor:
    """A stylemap or a z for every image."""
    image = loss.image
    if isinstance(start, str) and start == "z":
        return _best_latents(model, loss, seed)
    encoded = model.encode(image)
    if isinstance(start, Tensor):
        given = encoded if start.ndim == 4 else encoded[:, :, 0, 0]
        if start.shape[1:] != given.shape[1:] or start.shape[0] not in (1, len(image)):
            raise ValueError(
                f"start must be a stylemap {tuple(encoded.shape)} or a z {tuple(encoded.shape[:2])}, "
                f"got {tuple(start.shape)}"
            )
        return start.detach().to(encoded).expand_as(given)
    if start == "encoder":
        return encoded
    if start == "mean":
        return model.mean_stylemap().to(encoded).reshape(1, *encoded.shape[1:]).expand_as(encoded)
    raise ValueError(f"start must be 'encoder', 'mean', 'z', a stylemap or a z, got {start!r}")


def _best_latents(model: Model, loss: InversionLoss, seed: int) -> Tensor:
    """For every image the one of some random z that decodes nearest to it, N x K."""
    candidates = latents(model, _Z_CANDIDATES, seed)
    losses = []
    for z in candidates:
        decoded = model.decode(model.map(z[None]))
        losses.append(loss(decoded.expand_as(loss.image).to(loss.dtype))[0])
    return candidates[torch.stack(losses).argmin(0)]


def _moved(progress: Callable[[int, float], None], by: int) -> Callable[[int, float], None]:
    return lambda step, loss: progress(step + by, loss)


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
