"""What `--augment diffaugment` gains on a small set of photos, over the checkpoints of two runs.

    python docs/small_sets.py TRAIN_FOLDER HELD_OUT_FOLDER RUN [RUN ...]

Writes benchmarks/results/small_sets.json and docs/small_sets.png.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from stylemap.data.folder import FolderDataset
from stylemap.files import write_whole
from stylemap.metrics.fid import frechet_distance
from stylemap.metrics.realism import Statistics
from stylemap.train import checkpoints
from stylemap.train.config import TrainConfig
from stylemap.train.networks import Networks

SAMPLES = 512
ROOT = Path(__file__).parent.parent
RESULT, FIGURE = ROOT / "benchmarks/results/small_sets.json", ROOT / "docs/small_sets.png"


def main() -> None:
    """Measure every checkpoint, write the JSON, draw the curves."""
    train, held_out, *runs = map(Path, sys.argv[1:])
    content = {
        "torch": torch.__version__,
        "samples": SAMPLES,
        "runs": [measure(run, train, held_out) for run in runs],
    }
    with write_whole(RESULT) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
    draw(content)


@torch.no_grad()
def measure(run: Path, train: Path, held_out: Path) -> dict[str, object]:
    """Every checkpoint's figures; the settings of the run beside them."""
    files = checkpoints.found(run / "checkpoints")
    config = TrainConfig.load(run / "config.yaml")
    networks = Networks(config, torch.device("cpu"))
    photos = {
        name: _all(folder, config.model.size) for name, folder in (("train", train), ("held_out", held_out))
    }
    statistics = Statistics()
    real = statistics(torch.cat(list(photos.values())).split(32)).gaussian
    z = torch.randn(SAMPLES, config.model.latent_channel_size, generator=torch.Generator().manual_seed(0))
    rows = []
    for path in files:
        iteration = checkpoints.load(path, networks, config)["iteration"]
        samples = torch.cat(
            [
                networks.g_ema.decoder(networks.g_ema.decoder.convs_latent(networks.mapping_ema(part)))
                for part in z.split(32)
            ]
        )
        decoder, encoder = networks.g_ema.decoder, networks.e_ema
        again = decoder(decoder.convs_latent(encoder(photos["held_out"])))
        row = {
            "iteration": iteration,
            "frechet": frechet_distance(statistics(samples.split(32)).gaussian, real),
        }
        for name, shown in (*photos.items(), ("samples", samples)):
            # Eight at a time, as in training: the discriminator sees how a batch varies.
            logits = [networks.critic(part) for part in shown.split(8) if len(part) == 8]
            row[f"logit_{name}"] = float(torch.cat(logits).mean())
        row["mse_held_out"] = float((again - photos["held_out"]).square().mean())
        rows.append({name: float(f"{value:.4g}") for name, value in row.items()})
        print(run.name, rows[-1], flush=True)
    counts = {name: len(shown) for name, shown in photos.items()}
    return {"augment": config.augment, "batch": config.batch, "size": config.model.size,
            "warmup_iterations": config.warmup_iterations, "photos": counts, "checkpoints": rows}  # fmt: skip


def _all(folder: Path, size: int) -> Tensor:
    photos = FolderDataset(folder, size)
    return photos.batch(range(len(photos)))


def draw(content: dict[str, object]) -> None:
    """Three plots: Fréchet distance, what the discriminator says, reconstructions."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [["frechet"], ["logit_train", "logit_held_out", "logit_samples"], ["mse_held_out"]]
    titles = ["Fréchet distance of samples", "Discriminator's logits", "Held-out reconstruction, MSE"]
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for axis, names, title in zip(axes, panels, titles):
        for run, style in zip(content["runs"], ("-", "--")):
            for colour, name in enumerate(names):
                what = f", {name.removeprefix('logit_').replace('_', '-')}" if len(names) > 1 else ""
                rows = run["checkpoints"]
                axis.plot([row["iteration"] for row in rows], [row[name] for row in rows], style,
                          color=f"C{colour}", label=f"{run['augment']}{what}")  # fmt: skip
        axis.set(title=title, xlabel="iteration")
        axis.legend(fontsize=7)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
