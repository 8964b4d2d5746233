"""Files of stylemaps: Parquet with fixed-shape tensors, or safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from stylemap.bulk.jobs import Job
from stylemap.bulk.tables import import_pyarrow
from stylemap.files import write_whole

KINDS = (".parquet", ".safetensors")


def write(path: Path, jobs: Sequence[Job], maps: Sequence[Tensor], shape: tuple[int, int, int]) -> None:
    """Write the stylemaps K×L×L of some jobs, as float32.

    Parquet: columns index, name, original and stylemap, an Arrow fixed-shape tensor. safetensors: a tensor
    per job, by its index in eight digits.
    """
    if path.suffix == ".safetensors":
        named = {f"{job.index:08d}": w.float().contiguous() for job, w in zip(jobs, maps)}
        data = save(named)
        with write_whole(path) as file:
            file.write(data)
        return
    arrow, parquet = import_pyarrow()
    values = torch.stack(list(maps)).float().flatten().numpy() if maps else torch.empty(0).numpy()
    length = shape[0] * shape[1] * shape[2]
    storage = arrow.FixedSizeListArray.from_arrays(arrow.array(values), length)
    tensors = arrow.ExtensionArray.from_storage(arrow.fixed_shape_tensor(arrow.float32(), shape), storage)
    table = arrow.table(
        {
            "index": arrow.array([job.index for job in jobs], arrow.int64()),
            "name": arrow.array([job.name for job in jobs], arrow.string()),
            "original": arrow.array([_text(job.label) for job in jobs], arrow.string()),
            "stylemap": tensors,
        }
    )
    with write_whole(path) as file:
        parquet.write_table(table, file)


def _text(name: str) -> str:
    """A name of a file that is no UTF-8, with escapes: Parquet has UTF-8 alone."""
    return name.encode("utf-8", "backslashreplace").decode()
