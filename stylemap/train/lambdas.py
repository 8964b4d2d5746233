"""Weights of the losses."""

from __future__ import annotations

from dataclasses import dataclass

from stylemap.train.settings import check, documented, setting


@documented
@dataclass(frozen=True)
class Lambdas:
    """Weights of the losses; 0 leaves a loss out, and a step whose losses are all left out is skipped."""

    adv: float = setting(1.0, "Generator against the discriminator, on samples (step 1).", low=0)
    w_rec: float = setting(1.0, "The encoder finds the stylemap of a sample again (step 2).", low=0)
    d: float = setting(1.0, "Discriminator on real images and samples (step 3).", low=0)
    indomain_d: float = setting(1.0, "Discriminator on reconstructions (step 3).", low=0)
    x_rec: float = setting(1.0, "Reconstruction by pixels (step 5).", low=0)
    perceptual: float = setting(1.0, "Reconstruction by the features that perceptual names (step 5).", low=0)
    style: float = setting(0.0, "Reconstruction by the Gram matrices of those features (step 5).", low=0)
    indomain_e: float = setting(1.0, "Reconstruction against the discriminator (step 5).", low=0)
    local_src: float = setting(
        0.0,
        "Local edits of the batch's images, in random masks, against the original outside the mask (step 5;"
        " not in the paper).",
        low=0,
    )
    local_ref: float = setting(0.0, "The same edits against the reference inside the mask.", low=0)
    local_efficientnet: float = setting(
        0.0, "The same edits against the two images pasted together, by EfficientNet-Lite0's features.", low=0
    )
    local_d: float = setting(0.0, "The same edits shown to the discriminator (step 3).", low=0)
    local_e: float = setting(0.0, "The same edits against the discriminator (step 5).", low=0)
    efficientnet: float = setting(
        0.0,
        "Reconstruction by EfficientNet-Lite0's features, beside perceptual (step 5; needs the extra"
        " stylemap[features]).",
        low=0,
    )

    def __post_init__(self) -> None:
        check(self, "lambdas.")
