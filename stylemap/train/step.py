"""One training iteration: the five steps, in order (arXiv 2104.14754, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stylemap.train import losses
from stylemap.train.augment import diff_augment
from stylemap.train.config import TrainConfig
from stylemap.train.edits import edits_locally, local_errors, pasted
from stylemap.train.networks import Networks
from stylemap.train.randomness import generator

_AUGMENT = 100  # first of the processes' streams of random numbers


class Part(NamedTuple):
    """What one process handles at once: real images N x 3 x S x S in [-1, 1], z N x K, and in conditional
    training the classes (N, int64) of the images and of the samples, in training for local edits their masks
    (bool N x 1 x S x S)."""

    images: Tensor
    z: Tensor
    labels: Tensor | None = None
    sample_labels: Tensor | None = None
    masks: Tensor | None = None


class Features(NamedTuple):
    """How reconstructions are compared beyond pixels.

    distance: (output, target) to N distances. efficientnet: another one, for the losses of that name.
    maps: images to feature maps, for the style loss.
    """

    distance: Callable[[Tensor, Tensor], Tensor] | None = None
    efficientnet: Callable[[Tensor, Tensor], Tensor] | None = None
    maps: Callable[[Tensor], Sequence[Tensor]] | None = None


class _Sample(NamedTuple):
    """G(z) and its stylemap; or G(E(x)) and E(x), with the batch's local edits where they are trained."""

    stylemap: Tensor
    images: Tensor
    edited: Tensor | None = None


class Step:
    """Runs iterations on `Networks`.

    Forward passes are shared where that changes no value: G(z) of step 1 serves steps 2 and 3, and
    G(E(x)) serves steps 3 and 5, between which neither G nor E changes. With accumulated parts the
    latter is computed twice instead, so that only one part's activations are alive.
    """

    def __init__(
        self, networks: Networks, config: TrainConfig, features: Features | None = None, rank: int = 0
    ) -> None:
        self.networks = networks
        self.rank = rank
        self.config = config
        self.features = features or Features()
        self.device = next(networks.encoder.parameters()).device

    def __call__(self, parts: Sequence[Part], iteration: int) -> dict[str, Tensor]:
        """Updates the weights. Returns the losses before their weights, as scalars without gradient."""
        self._losses: dict[str, Tensor] = {}
        self._random = generator(self.config.seed, _AUGMENT + self.rank, iteration)
        weights, config = self.config.lambdas, self.config
        adversarial = iteration >= config.warmup_iterations
        momentum = config.beta1 if adversarial else config.warmup_momentum
        self.networks.schedule(momentum, self._rate(iteration))
        reconstructions: list[_Sample] | None = None
        if adversarial and (weights.adv or weights.w_rec or weights.d):
            samples = self._generator_step(parts)
            if weights.w_rec:
                self._encoder_step(samples)
        shown = weights.indomain_d or weights.local_d
        if adversarial and (weights.d or shown):
            if shown and len(parts) == 1 and self._reconstructs(adversarial):
                self.networks.train_only("encoder", "synthesis")
                reconstructions = [self._reconstruct(parts[0])]
            self._discriminator_step(parts, samples if weights.d else None, reconstructions)
            if config.discriminator == "published" and config.r1_gamma and iteration % config.r1_every == 0:
                self._r1_step(parts)
        if self._reconstructs(adversarial):
            self._autoencoder_step(parts, reconstructions, adversarial)
        self.networks.update_averages(self._decay(iteration))
        return self._losses

    def _generator_step(self, parts: Sequence[Part]) -> list[_Sample]:
        """Step 1. Without a weight for it, only draws the samples the other steps need."""
        weight = self.config.lambdas.adv
        samples = []
        mapping = bool(weight) and not self.config.freeze_mapping
        if weight:
            self.networks.train_only("synthesis", *(["mapping"] if mapping else []))
        for part in self._each(parts, "mapping", "synthesis"):
            with torch.set_grad_enabled(bool(weight)), self._precision():
                stylemap = self._run("mapping", part.z, part.sample_labels, grad=mapping)
                images = self._run("synthesis", stylemap, grad=bool(weight))
                samples.append(_Sample(stylemap.detach(), images.detach()))
            if weight:
                self._backward(parts, {"adv": (self._adversarial(images, part.sample_labels), weight)})
        if weight:
            self.networks.optimisers["g"].step()
        return samples

    def _encoder_step(self, samples: Sequence[_Sample]) -> None:
        """Step 2: the encoder finds the stylemap of a sample again."""
        self.networks.train_only("encoder")
        for sample in self._each(samples, "encoder"):
            with self._precision():
                found = self._run("encoder", sample.images)
            loss = losses.reconstruction(found, sample.stylemap, self.config.reconstruction_loss)
            self._backward(samples, {"w_rec": (loss, self.config.lambdas.w_rec)})
        self.networks.optimisers["e"].step()

    def _discriminator_step(
        self,
        parts: Sequence[Part],
        samples: Sequence[_Sample] | None,
        reconstructions: Sequence[_Sample] | None,
    ) -> None:
        """Step 3."""
        kind, weights = self.config.adversarial_loss, self.config.lambdas
        self.networks.train_only("critic")
        for index, part in enumerate(self._each(parts, "critic")):
            terms = {}
            if samples is not None:
                with self._precision():
                    real = self._run("critic", self._augment(part.images), part.labels)
                    fake = self._run("critic", self._augment(samples[index].images), part.sample_labels)
                loss = losses.discriminator_real(real, kind) + losses.discriminator_fake(fake, kind)
                terms["d"] = (loss, weights.d)
            if weights.indomain_d or weights.local_d:
                with torch.no_grad():
                    again = reconstructions[index] if reconstructions else self._reconstruct(part, grad=False)
                terms |= self._shown(again, part.labels)
            self._backward(parts, terms)
        self.networks.optimisers["d"].step()

    def _shown(self, again: _Sample, labels: Tensor | None) -> dict[str, tuple[Tensor, float]]:
        """The discriminator's losses of reconstructions and of edits."""
        weights, terms = self.config.lambdas, {}
        for name, images, weight in (
            ("indomain_d", again.images, weights.indomain_d),
            ("local_d", again.edited, weights.local_d),
        ):
            if weight and images is not None:
                with self._precision():
                    logits = self._run("critic", self._augment(images.detach()), labels)
                terms[name] = (losses.discriminator_fake(logits, self.config.adversarial_loss), weight)
        return terms

    def _r1_step(self, parts: Sequence[Part]) -> None:
        """Step 4, in float32: second derivatives of half-precision activations are noise."""
        self.networks.train_only("critic")
        weight = self.config.r1_gamma / 2 * self.config.r1_every
        for part in self._each(parts, "critic"):
            images = self._augment(part.images).detach().requires_grad_(True)
            penalty = losses.r1(self._run("critic", images, part.labels), images)
            self._backward(parts, {"r1": (penalty, weight)})
        self.networks.optimisers["d"].step()

    def _autoencoder_step(
        self, parts: Sequence[Part], reconstructions: Sequence[_Sample] | None, adversarial: bool
    ) -> None:
        """Step 5."""
        weights = self.config.lambdas
        self.networks.train_only("encoder", "synthesis")
        for index, part in enumerate(self._each(parts, "encoder", "synthesis")):
            again = reconstructions[index] if reconstructions else self._reconstruct(part)
            terms = self._comparison(again.images, part.images)
            if again.edited is not None and part.masks is not None:
                terms |= self._local_edits(again.edited, part.images, part.masks)
            if adversarial and weights.indomain_e:
                terms["indomain_e"] = (self._adversarial(again.images, part.labels), weights.indomain_e)
            if adversarial and weights.local_e and again.edited is not None:
                terms["local_e"] = (self._adversarial(again.edited, part.labels), weights.local_e)
            self._backward(parts, terms)
        self.networks.step_autoencoder(warming_up=not adversarial)

    def _adversarial(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """How little the discriminator takes images for real; no gradient reaches its weights."""
        with self._precision():
            logits = self._criticise(images, labels)
        return losses.generator_adversarial(logits, self.config.adversarial_loss)

    def _criticise(self, images: Tensor, labels: Tensor | None) -> losses.Logits:
        images = self._augment(images)
        logits: losses.Logits = self.networks.critic(*(x for x in (images, labels) if x is not None))
        return logits

    def _comparison(self, output: Tensor, target: Tensor) -> dict[str, tuple[Tensor, float]]:
        weights, terms = self.config.lambdas, {}
        if weights.x_rec:
            loss = losses.reconstruction(output, target, self.config.reconstruction_loss)
            terms["x_rec"] = (loss, weights.x_rec)
        if weights.perceptual and self.features.distance is not None:
            distance = self.features.distance(losses.widen(output), target)
            terms["perceptual"] = (distance.mean(), weights.perceptual)
        if weights.efficientnet and self.features.efficientnet is not None:
            distance = self.features.efficientnet(losses.widen(output), target)
            terms["efficientnet"] = (distance.mean(), weights.efficientnet)
        if weights.style and self.features.maps is not None:
            with torch.no_grad():
                wanted = self.features.maps(target)
            terms["style"] = (losses.style(self.features.maps(losses.widen(output)), wanted), weights.style)
        return terms

    def _local_edits(self, edited: Tensor, images: Tensor, masks: Tensor) -> dict[str, tuple[Tensor, float]]:
        outside, inside = local_errors(edited, images, masks)
        weights = self.config.lambdas
        terms = {"local_src": (outside, weights.local_src), "local_ref": (inside, weights.local_ref)}
        if weights.local_efficientnet and self.features.efficientnet is not None:
            distance = self.features.efficientnet(losses.widen(edited), pasted(images, masks))
            terms["local_efficientnet"] = (distance.mean(), weights.local_efficientnet)
        return terms

    def _reconstructs(self, adversarial: bool) -> bool:
        weights = self.config.lambdas
        alone = weights.x_rec or weights.perceptual or weights.efficientnet or weights.style
        alone = alone or edits_locally(self.config)
        return bool(alone or (adversarial and weights.indomain_e))

    def _augment(self, images: Tensor) -> Tensor:
        """Images as the discriminator sees them."""
        return images if self.config.augment == "none" else diff_augment(images, self._random)

    def _reconstruct(self, part: Part, grad: bool = True) -> _Sample:
        with self._precision():
            stylemap = self._run("encoder", part.images, grad=grad)
            edited = None
            if part.masks is not None:
                edited = self._run("synthesis", stylemap, part.masks, grad=grad)
            return _Sample(stylemap, self._run("synthesis", stylemap, grad=grad), edited)

    def _run(self, name: str, *inputs: Tensor | None, grad: bool = True) -> Tensor:
        """A network: the distributed one where its parameters get gradients, else the plain one."""
        module: nn.Module = self.networks.parallel[name] if grad else self.networks.plain[name]
        output: Tensor = module(*(x for x in inputs if x is not None))
        return output

    def _backward(self, parts: Sequence[object], terms: dict[str, tuple[Tensor, float]]) -> None:
        """Gradients of the mean over the parts of the weighted sum; notes the losses."""
        total = sum(loss * weight for loss, weight in terms.values())
        assert isinstance(total, Tensor)
        (total / len(parts)).backward()
        for name, (loss, _) in terms.items():
            self._losses[name] = self._losses.get(name, 0) + loss.detach() / len(parts)

    def _each(self, parts: Sequence[object], *names: str) -> Iterator:
        """The parts; only in the last one do the named networks exchange gradients between processes."""
        for part in parts:
            with ExitStack() as stack:
                if part is not parts[-1]:
                    for name in names:
                        no_sync = getattr(self.networks.parallel[name], "no_sync", None)
                        if no_sync is not None:
                            stack.enter_context(no_sync())
                yield part

    @contextmanager
    def _precision(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            yield

    def _rate(self, iteration: int) -> float:
        """What learning rates are multiplied with."""
        config = self.config
        if not config.decay_iterations:
            return 1.0
        left = min(1.0, max(0.0, (config.iterations - iteration) / config.decay_iterations))
        return left if config.decay == "linear" else (1 - math.cos(math.pi * left)) / 2

    def _decay(self, iteration: int) -> float:
        decay = self.config.ema_decay
        return min(decay, (1 + iteration) / (10 + iteration)) if self.config.ema_rampup else decay
