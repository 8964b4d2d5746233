"""What torchrun shows of a process that failed: without a file from it, a hint about its own internals."""

from __future__ import annotations

import contextlib
import json
import os
import time


def tell(line: str) -> None:
    """Leave the reason of a failure where torchrun looks for it; its report then ends with that line.

    Without torchrun nothing happens.
    """
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return
    more = {"py_callstack": line, "timestamp": str(int(time.time()))}
    with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as file:
        json.dump({"message": {"message": line, "extraInfo": more}}, file)
