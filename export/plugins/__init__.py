"""Fused kernels inside TensorRT engines: plugins whose PTX is compiled when the engine is built.

``modulation`` convolves a stylecode for γ and β and applies both to the normalised features, so that
neither map is ever written. ``blend`` lays the references of an edit over a stylecode in one pass. ``ring``
does so with cached maps, and convolves those along the borders of masks alone. An engine that holds them
needs no Python and no Triton where it runs.
"""

from __future__ import annotations

NAMESPACE = "stylemap"
NAMES = ("modulation", "blend", "ring")
