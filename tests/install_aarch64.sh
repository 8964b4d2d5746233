#!/bin/sh
# A compiler for aarch64 and an emulator of its processors, for tests/native/test_aarch64.py. Where they cannot
# be installed that test is skipped (outside CI).
set -eu
found() { command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64-static >/dev/null; }
if found; then exit 0; fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  install() { apt-get install -yqq --no-install-recommends g++-aarch64-linux-gnu qemu-user-static >/dev/null; }
  install 2>/dev/null && exit 0
  apt-get update -qq && install && exit 0
fi
echo "the aarch64 compiler and emulator cannot be installed here: the NEON kernels will not be tested" >&2
