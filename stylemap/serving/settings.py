"""How a service is set up: what ``stylemap serve`` takes as flags and Serve config files as ``args``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stylemap.editor.limits import Limits
from stylemap.editor.protocol import reason

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseModel):
    """A service.

    model: file, folder or hf:// address of the model; "demo" is the bundled one. class_name: of a
        class-conditional one.
    device, precision, threads, cache_mib: as of ``stylemap edit-server``.
    directions: file of the directions; by default the bundled ones where they fit.
    photos: folder of the uploads, which every replica must reach; "" makes one that ends with the process.
    photos_mib: of all uploads; those that were used longest ago go.
    known: photos whose stylemaps a replica keeps.
    replicas: processes with a model; 0 is none but this one, without Ray. "auto": by load, up to one for
        each GPU or ``cpus`` CPUs.
    cpus, gpus: of a replica.
    queue: requests that wait at most (on Ray: for all replicas together, of each front).
    fronts: processes that speak HTTP, on Ray.
    batch: requests that a replica takes at once, of those that wait when it is free; 0 is 1 on a CPU, 8 on a
        GPU.
    deadline: seconds that a request has at most, and where it names no deadline.
    tokens: file of the tokens, see `stylemap.serving.access`; "" lets everybody in who reaches the server
        under a name in ``hosts``.
    hosts: names of the server, where there are no tokens.
    token_rate, token_burst: requests a second of one token, and at once. token_jobs: of one token that are
        being answered at the same time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = "demo"
    class_name: str | None = None
    device: str = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    threads: Count | None = None
    cache_mib: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    directions: str | None = None
    photos: str = ""
    photos_mib: Count = 4096
    known: Count = 256
    replicas: Annotated[int, Field(ge=0, le=4096)] | Literal["auto"] = "auto"
    cpus: Annotated[float, Field(gt=0)] = 1
    gpus: Annotated[float, Field(ge=0)] | None = None
    queue: Annotated[int, Field(ge=0, le=10_000)] = 32
    fronts: Count = 1
    batch: Annotated[int, Field(ge=0, le=256)] = 0
    deadline: Seconds = 30
    tokens: str = ""
    hosts: tuple[str, ...] = ()
    token_rate: Annotated[float, Field(gt=0)] = 50
    token_burst: Annotated[float, Field(ge=1)] = 100
    token_jobs: Count = 64

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Settings:
        """Settings from a mapping. Raises ValueError, one line, for what is unknown or out of range."""
        try:
            return cls(**arguments)
        except ValidationError as error:
            raise ValueError(reason(error.errors())) from None

    def batch_on(self, kind: str) -> int:
        """Requests that a replica on a device of this type takes at once."""
        return self.batch or (8 if kind == "cuda" else 1)


#: Of bodies and photos: the editor's own.
LIMITS = Limits()
#: Bytes of one request with photos and masks in it.
REQUEST_BYTES = 3 * LIMITS.upload_bytes
