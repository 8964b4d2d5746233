"""Stage "mapping": the mapping network alone, trained as a small GAN on the encoder's stylemaps.

In joint training the mapping network hardly moves: its equalised learning rate is a hundredth. Here encoder
and decoder stay as they are. Real samples are stylemaps of photos before their activation, in the
coordinates of their first principal components; generated ones are what the mapping network gives there. An
MLP tells them apart by the relativistic loss with R1 and R2 (Huang et al. 2024, "The GAN is dead; long live
the GAN!"), and an energy distance (Székely & Rizzo 2013) keeps the distributions together as a whole.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap.model.layers import EqualLinear
from stylemap.train.config import TrainConfig
from stylemap.train.mapping_start import before_activation, last_layer, principal, whitening
from stylemap.train.networks import Networks
from stylemap.train.randomness import generator
from stylemap.train.step import Part

_WIDTH = 192
_ENERGY = 0.3
_HIDDEN_RATE = 100  # undoes the mapping network's equalised learning rate
_LATENTS = 8192
_STATISTICS, _REAL, _FAKE = range(10, 13)  # streams of random numbers apart from those of `batches`


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        return x + y


def _critic(inputs: int) -> nn.Sequential:
    """Coordinates N x D to logits N x 1."""
    return nn.Sequential(
        nn.Linear(inputs, _WIDTH),
        _Residual(_WIDTH),
        _Residual(_WIDTH),
        nn.LeakyReLU(0.2),
        nn.Linear(_WIDTH, 1),
    )


class MappingStep:
    """Iterations of the stage on `Networks`; called like `stylemap.train.step.Step`, without parts.

    stylemaps: the encoder's, N x K x L x L of N images, which stand for the data.

    `write` puts the averaged mapping network into the networks; what continues a run is `state_dict`.
    """

    def __init__(self, networks: Networks, stylemaps: Tensor, config: TrainConfig) -> None:
        self.networks, self.config = networks, config
        device = stylemaps.device
        *hidden, last = networks.generator.mapping_z
        assert isinstance(last, EqualLinear)
        self._last = last
        count = config.model.latent_channel_size
        values = before_activation(stylemaps.flatten(1).double().cpu())
        components, self._centre = principal(values, count, config.seed)
        deviations = components.norm(dim=0).clamp(min=1e-6)
        # Between whitened and unscaled: large components count more, and small ones are not lost.
        scale = (deviations / deviations.max()).clamp(min=1e-6).sqrt()
        self._basis = components / scale  # coordinates to values before the activation
        self._real = ((values - self._centre) @ (components / deviations.square()) * scale).float().to(device)
        self.hidden = nn.Sequential(*copy.deepcopy(hidden)).requires_grad_(True)
        with torch.no_grad():
            z = self._noise(_LATENTS, _STATISTICS, 0, device)
            whiten, inner = whitening(self.hidden(z).cpu().double())
        self.output = nn.Linear(count, count).to(device)
        with torch.no_grad():
            self.output.weight.copy_(scale[:, None] * whiten)
            self.output.bias.copy_(-(scale[:, None] * whiten) @ inner)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.critic = _critic(count).to(device)
        self.mapping = nn.Sequential(self.hidden, self.output)
        self.average = copy.deepcopy(self.mapping).requires_grad_(False)
        rate, betas = config.learning_rate, (config.beta1, config.beta2)
        groups = [
            {"params": list(self.hidden.parameters()), "lr": rate * _HIDDEN_RATE},
            {"params": list(self.output.parameters()), "lr": rate},
        ]
        self.optimisers = {
            "mapping": torch.optim.Adam(groups, betas=betas),
            "critic": torch.optim.Adam(self.critic.parameters(), lr=rate, betas=betas),
        }

    def __call__(self, parts: Sequence[Part], iteration: int) -> dict[str, Tensor]:
        config = self.config
        real = self._real[self._chosen(iteration)]
        z = self._noise(config.batch, _FAKE, iteration, real.device)
        losses = self._critic_step(real, self.mapping(z).detach(), iteration)
        fake = self.mapping(z)
        self.critic.requires_grad_(False)
        adversarial = F.softplus(self.critic(real) - self.critic(fake)).mean()
        energy = energy_distance(fake, real)
        self.optimisers["mapping"].zero_grad()
        (adversarial + _ENERGY * energy).backward()
        self.optimisers["mapping"].step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.mapping.parameters()), 1 - config.ema_decay
            )
        return losses | {"mapping": adversarial.detach(), "energy": energy.detach()}

    def _critic_step(self, real: Tensor, fake: Tensor, iteration: int) -> dict[str, Tensor]:
        config = self.config
        self.critic.requires_grad_(True)
        penalised = bool(config.r1_gamma) and iteration % config.r1_every == 0
        real, fake = (x.detach().requires_grad_(penalised) for x in (real, fake))
        of_real, of_fake = self.critic(real), self.critic(fake)
        loss = F.softplus(of_fake - of_real).mean()
        losses = {"critic": loss.detach()}
        if penalised:
            gradients = torch.autograd.grad([of_real.sum(), of_fake.sum()], [real, fake], create_graph=True)
            penalty = torch.stack([g.square().sum(1).mean() for g in gradients]).sum()
            loss = loss + config.r1_gamma / 2 * config.r1_every * penalty
            losses["r1_r2"] = penalty.detach()
        self.optimisers["critic"].zero_grad()
        loss.backward()
        self.optimisers["critic"].step()
        return losses

    @torch.no_grad()
    def write(self) -> None:
        """The averaged mapping network becomes the generator's and its moving average's."""
        trained = self.networks.generator.mapping_z
        hidden, output = self.average
        assert isinstance(hidden, nn.Sequential)
        for mine, theirs in zip(hidden, trained, strict=False):
            theirs.load_state_dict(mine.state_dict())
        weight = self._basis @ output.weight.double().cpu()
        bias = self._basis @ output.bias.double().cpu() + self._centre
        last_layer(self._last, weight, bias)
        self.networks.g_ema.mapping_z.load_state_dict(trained.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to continue exactly. The stylemaps are encoded again."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        modules = {"mapping": self.mapping, "critic": self.critic, "average": self.average}
        return modules | {f"{name}_optim": optimiser for name, optimiser in self.optimisers.items()}

    def _chosen(self, iteration: int) -> Tensor:
        return torch.randint(len(self._real), (self.config.batch,), generator=self._random(_REAL, iteration))

    def _noise(self, count: int, stream: int, iteration: int, device: torch.device) -> Tensor:
        size = (count, self.config.model.latent_channel_size)
        return torch.randn(size, generator=self._random(stream, iteration)).to(device)

    def _random(self, stream: int, iteration: int) -> torch.Generator:
        return generator(self.config.seed, stream, iteration)


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| of samples N x D: 0 where the distributions are equal."""
    n, m = len(x), len(y)
    within = [torch.pdist(a).sum() * 2 / max(k * (k - 1), 1) for a, k in ((x, n), (y, m))]
    return 2 * torch.cdist(x, y).mean() - sum(within)
