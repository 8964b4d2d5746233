"""The mark of tests that execute machine code: they are skipped without the tools, and fail in CI."""

from __future__ import annotations

import pytest

from tests.cuda.sass import toolchain

machine_code = pytest.mark.skipif(
    bool(toolchain.missing()) and not toolchain.required(), reason=f"no {toolchain.missing()}"
)
