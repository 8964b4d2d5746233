"""The page's modules and their JSDoc types, checked by TypeScript's compiler; nothing is built."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.helpers import needs

HERE = Path(__file__).parent
LOCAL = HERE.parent.parent / "node_modules/.bin/tsc"


def test_the_page_has_no_type_errors() -> None:
    compiler = str(LOCAL) if LOCAL.exists() else shutil.which("tsc")
    if compiler is None:
        needs.missing("TypeScript is not installed: tests/install_typescript.sh (make test runs it)")
    done = subprocess.run([compiler, "-p", HERE / "tsconfig.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
