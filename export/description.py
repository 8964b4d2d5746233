"""What an exported file says about itself: metadata of ONNX files, sidecars of engines."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import stylemap
from stylemap.config import Config
from stylemap.model import StyleMapGAN

PREFIX = "stylemap."


@dataclass(frozen=True)
class Description:
    """One exported graph.

    graph: its name, as in `stylemap.export.ports.ALL`. precision: fp32, fp16, bf16 or int8.
    model: fingerprint of the weights, so that files of one model can be told from another's.
    versions: of the packages that made the file. verified: how its output was compared, with the
    largest relative error; empty before the comparison.
    """

    graph: str
    config: Config
    precision: str
    model: str
    versions: Mapping[str, str]
    verified: Mapping[str, Any] = field(default_factory=dict)

    def to_metadata(self) -> dict[str, str]:
        """Text values under keys that start with "stylemap."."""
        values = {
            "graph": self.graph,
            "config": self.config.to_json(),
            "precision": self.precision,
            "model": self.model,
            "versions": json.dumps(dict(self.versions), sort_keys=True),
            "verified": json.dumps(dict(self.verified), sort_keys=True),
        }
        return {PREFIX + key: value for key, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], name: str) -> Description:
        """Inverse of :meth:`to_metadata`; ``name`` is the file's, for the error.

        Raises:
            ValueError: the file is none of ours, or of a version that wrote other entries.
        """
        try:
            values = {item.name: metadata[PREFIX + item.name] for item in dataclasses.fields(cls)}
            return cls(
                graph=values["graph"],
                config=Config.from_json(values["config"]),
                precision=values["precision"],
                model=values["model"],
                versions=json.loads(values["versions"]),
                verified=json.loads(values["verified"]),
            )
        except KeyError as error:
            raise ValueError(
                f"{name} was not written by stylemap export: it has no metadata {error}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{name}: damaged metadata: {error}") from error


def describe(model: StyleMapGAN, graph: str, precision: str, versions: Mapping[str, str]) -> Description:
    """What a file of a graph of ``model`` says about itself before it is verified."""
    return Description(
        graph, model.config, precision, fingerprint(model), {"stylemap": stylemap.__version__, **versions}
    )


def fingerprint(model: StyleMapGAN) -> str:
    """16 hexadecimal digits that follow from the configuration and every weight."""
    digest = hashlib.sha256(model.config.to_json().encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
