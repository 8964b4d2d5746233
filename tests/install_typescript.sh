#!/bin/sh
# TypeScript's compiler for tests/editor/test_types.py, beside the package in node_modules. Without npm or
# network nothing is installed, and that test is skipped (in CI it fails).
set -u
cd "$(dirname "$0")/.."
if command -v tsc >/dev/null || [ -x node_modules/.bin/tsc ]; then
  exit 0
fi
if ! command -v npm >/dev/null; then
  echo "no npm: the types of the editor's page will not be checked"
  exit 0
fi
npm install --no-save --no-package-lock --no-audit --no-fund --silent typescript@5 || echo "TypeScript could not be installed"
