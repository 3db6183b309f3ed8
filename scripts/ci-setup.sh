#!/usr/bin/env bash
# Makes cpu-vm ready on a machine of a CI: Debian or a kin of it, with Node 20 or later; root, or who may sudo.
# action.yml and docs/ci.md use it.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

as_root apt-get update -qq
install binutils ca-certificates g++ make python3 qemu-system-x86 xz-utils zstd
# A package of its own since QEMU 8.
[ -x /usr/lib/qemu/virtiofsd ] || install virtiofsd

# Not `npm ci`: it refuses a lock file that lacks optional packages of other platforms.
npm install --no-save --no-audit --no-fund --loglevel=error
[ -f build/Release/cpu_harness.node ] || node node_modules/node-gyp/bin/node-gyp.js rebuild
node scripts/bundle.mjs

for device in /dev/kvm /dev/vhost-vsock; do
  if [ -e "$device" ] && [ ! -w "$device" ]; then as_root chmod a+rw "$device"; fi
done
