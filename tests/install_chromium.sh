#!/bin/sh
# Debian's Chromium, for the editor's browser tests. Where it cannot be installed they are skipped (outside CI).
set -eu
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -yqq --no-install-recommends chromium >/dev/null 2>&1 && exit 0
  apt-get update -qq && apt-get install -yqq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "chromium is missing and cannot be installed here: the editor's browser tests need it" >&2
