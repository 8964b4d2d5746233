"""Opening what was exported in the runtime that is asked for; its package is imported then."""

from __future__ import annotations

from pathlib import Path

from stylemap.export.sessions.base import ENGINE_SUFFIX, PROVIDERS, Session


def open_session(path: Path, provider: str, threads: int | None = None) -> Session:
    """Open an .onnx file or a TensorRT .engine.

    provider: one of PROVIDERS. threads: on the CPU; None leaves it to the runtime.

    Raises:
        ImportError: the package of the provider is not installed; the message says which.
        ValueError: an unknown provider, one that cannot run this kind of file, a file of another origin.
        RuntimeError: the provider or its device is not available here, or refuses the file.
    """
    if provider not in PROVIDERS:
        raise ValueError(f"provider must be one of {', '.join(PROVIDERS)}, got {provider!r}")
    engine = path.suffix == ENGINE_SUFFIX
    if engine != (provider == "tensorrt"):
        kind = "a TensorRT engine" if engine else "an ONNX file"
        raise ValueError(f"{path} is {kind}: provider {provider!r} cannot run it")
    with open(path, "rb"):  # a missing file is an OSError that names it
        pass
    if engine:
        from stylemap.export.sessions.engine import EngineSession

        return EngineSession(path)
    if provider.startswith("openvino"):
        from stylemap.export.sessions.openvino import OpenVinoSession

        return OpenVinoSession(path, provider, threads)
    from stylemap.export.sessions.onnxruntime import OnnxRuntimeSession

    return OnnxRuntimeSession(path, provider, threads)
