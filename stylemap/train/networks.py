"""The networks of a run, the modules distributed training wraps, their optimisers and moving averages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stylemap.config import Config
from stylemap.edit.masks import pool_max
from stylemap.model import Discriminator, Encoder, Generator
from stylemap.model.discriminator import minibatch_stddev
from stylemap.train.config import TrainConfig
from stylemap.train.edits import next_image
from stylemap.train.matrices import Matrices
from stylemap.train.projected import ProjectedCritic


class Mapping(nn.Module):
    """z N x K and, in conditional training, classes N to stylemaps: each class adds a learned vector to z."""

    def __init__(self, generator: Generator, config: Config, classes: int) -> None:
        super().__init__()
        self.mapping_z = generator.mapping_z
        self.embedding = nn.Embedding(classes, config.latent_channel_size) if classes else None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            z = z + self.embedding(labels)
        stylemap: Tensor = self.mapping_z(z)
        return stylemap


class Synthesis(nn.Module):
    """Stylemaps N x K x L x L to images N x 3 x S x S; with a mask (bool N x 1 x S x S) to local edits, where
    every image is the reference of the one before it."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.decoder = generator.decoder

    def forward(self, stylemap: Tensor, mask: Tensor | None = None) -> Tensor:
        codes = self.decoder.convs_latent(stylemap)
        if mask is not None:
            pixels = mask.float()
            codes = [torch.where(pool_max(pixels, c.shape[-1]), next_image(c), c) for c in codes]
        images: Tensor = self.decoder(codes)
        return images


class Critic(nn.Module):
    """Images N x 3 x S x S to logits N x 1; with classes by projection (Miyato & Koyama 2018)."""

    def __init__(self, discriminator: Discriminator, config: Config, classes: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.embedding = nn.Embedding(classes, config.channels(4)) if classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        d = self.discriminator
        if self.embedding is None:
            logits: Tensor = d(images)
            return logits
        features = d.final_linear[0](d.final_conv(minibatch_stddev(d.convs(images))).flatten(1))
        match = (self.embedding(labels) * features).sum(1, keepdim=True) / features.shape[1] ** 0.5
        logits = d.final_linear[1](features) + match
        return logits


class Networks:
    """Everything with weights, on one device.

    `plain` holds the modules by name, `parallel` the same ones as distributed training wraps them (the
    plain ones outside it). A wrapped module is only for forward
    passes whose backward pass reaches all of its parameters.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = Generator(config.model)
            self.encoder = Encoder(config.model)
            self.mapping = Mapping(self.generator, config.model, config.classes)
            self.critic = make_critic(config)
        self.synthesis = Synthesis(self.generator)
        for module in (self.mapping, self.synthesis, self.encoder, self.critic):
            module.to(device)
            if config.channels_last:
                to_channels_last(module)
        self.g_ema = copy.deepcopy(self.generator).requires_grad_(False)
        self.e_ema = copy.deepcopy(self.encoder).requires_grad_(False)
        self.mapping_ema = Mapping(self.g_ema, config.model, 0)
        self.mapping_ema.embedding = copy.deepcopy(self.mapping.embedding)
        self.mapping_ema.requires_grad_(False)
        self.plain: dict[str, nn.Module] = {
            "mapping": self.mapping,
            "synthesis": self.synthesis,
            "encoder": self.encoder,
            "critic": self.critic,
        }
        self.parallel = self.plain
        self.optimisers: dict[str, torch.optim.Optimizer] = make_optimisers(self, config)
        self.matrices: Matrices | None = None
        if config.warmup_optimiser == "muon":
            self.matrices = Matrices([*self.synthesis.parameters(), *self.encoder.parameters()])
            self.optimisers["muon"] = self.matrices.optimiser(config.learning_rate)

    @property
    def discriminator(self) -> Discriminator:
        """The published discriminator. Raises AttributeError where the run has another one."""
        if isinstance(self.critic, ProjectedCritic):
            raise AttributeError("the run has a projected discriminator")
        return self.critic.discriminator

    def distribute(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        """Replaces the entries of `parallel` by wrapped ones."""
        self.parallel = {name: wrap(module) for name, module in self.plain.items()}

    def train_only(self, *names: str) -> None:
        """Parameters of the named networks get gradients, cleared; all others none."""
        for name, module in self.plain.items():
            wanted = name in names
            for parameter in module.parameters():
                parameter.requires_grad_(wanted)
                if wanted:
                    parameter.grad = None

    def schedule(self, momentum: float, rate: float) -> None:
        """Sets beta 1 of G's and E's Adam, and every learning rate to ``rate`` times its start."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * rate
                if name in ("g", "e"):
                    group["betas"] = (momentum, optimiser.defaults["betas"][1])
                elif name == "d":
                    group["betas"] = optimiser.defaults["betas"]

    def step_autoencoder(self, warming_up: bool) -> None:
        """Updates synthesis and encoder by their gradients, in the warm-up with Muon if that is wanted."""
        if self.matrices is not None and warming_up:
            self.matrices.take_gradients()
            self.optimisers["muon"].step()
        self.optimisers["g"].step()
        self.optimisers["e"].step()

    @torch.no_grad()
    def update_averages(self, decay: float) -> None:
        """EMA of the parameters of G, its class vectors and E: average = decay * average + (1 - decay) *
        parameter."""
        pairs: list[tuple[nn.Module, nn.Module]]
        pairs = [(self.g_ema, self.generator), (self.e_ema, self.encoder)]
        if self.mapping_ema.embedding is not None and self.mapping.embedding is not None:
            pairs.append((self.mapping_ema.embedding, self.mapping.embedding))
        for average, network in pairs:
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)

    @torch.no_grad()
    def copy_buffers(self) -> None:
        """The averages take over the buffers (running statistics) as they are."""
        for average, network in ((self.g_ema, self.generator), (self.e_ema, self.encoder)):
            for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
                mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Named as in the published checkpoints; the class vectors are entries of their own."""
        self.copy_buffers()
        state = {name: module.state_dict() for name, module in self._modules().items()}
        return state | {
            f"{name}_optim": optimiser.state_dict() for name, optimiser in self.optimisers.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "g_classes" in state:  # files of before had no average of the class vectors
            state = {"g_ema_classes": state["g_classes"], **state}
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        for name, optimiser in self.optimisers.items():
            if name != "muon" or "muon_optim" in state:  # one that is new to a run starts afresh
                optimiser.load_state_dict(state[f"{name}_optim"])

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "encoder": self.encoder,
            "g_ema": self.g_ema,
            "e_ema": self.e_ema,
        }
        if self.mapping.embedding is not None and self.mapping_ema.embedding is not None:
            modules |= {"g_classes": self.mapping.embedding, "g_ema_classes": self.mapping_ema.embedding}
        if isinstance(self.critic, ProjectedCritic):
            return modules | {"projected_discriminator": self.critic}
        modules["discriminator"] = self.critic.discriminator
        if self.critic.embedding is not None:
            modules["d_classes"] = self.critic.embedding
        return modules


def make_critic(config: TrainConfig) -> Critic | ProjectedCritic:
    """The discriminator of a configuration, with random weights where it is trained."""
    if config.discriminator == "projected":
        return ProjectedCritic()
    return Critic(Discriminator(config.model), config.model, config.classes)


def make_optimisers(networks: Networks, config: TrainConfig) -> dict[str, torch.optim.Optimizer]:
    """Adam for G and E; for D scaled by c = n / (n + 1), as R1 comes every n steps."""
    c = config.r1_every / (config.r1_every + 1) if config.discriminator == "published" else 1.0
    rate = config.discriminator_rate or config.learning_rate
    generator = [*networks.mapping.parameters(), *networks.synthesis.parameters()]
    return {
        "g": _adam(generator, config.learning_rate, (config.beta1, config.beta2)),
        "e": _adam(networks.encoder.parameters(), config.learning_rate, (config.beta1, config.beta2)),
        "d": _adam(networks.critic.parameters(), rate * c, (config.beta1**c, config.beta2**c)),
    }


def _adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    # One fused pass over every tensor: four times less time in the step than the per-tensor loop on a CPU.
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=True)


def to_channels_last(module: nn.Module) -> None:
    """Stores every N x C x H x W parameter with the channels innermost."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
