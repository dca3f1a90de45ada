#!/usr/bin/env bash
# The page in a real browser. $1 = folder below build/ for what is installed and for the screenshots, $2 = decree-lab,
# $3 = decree-lab-planted
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out=$1
fail() { printf 'page test: %s\n' "$*" >&2; exit 1; }

command -v node >/dev/null || fail "node is missing: install nodejs, or start ./dev test, which does"
chromium="$(command -v chromium || command -v chromium-browser || true)"
[ -n "$chromium" ] || fail "chromium is missing: install it, or start ./dev test, which does"
mkdir -p "$out"
if ! cmp -s "$here/package-lock.json" "$out/installed-lock.json"; then
  command -v npm >/dev/null || fail "npm is missing: install it, or start ./dev test, which does"
  cp "$here/package.json" "$here/package-lock.json" "$out/"
  (cd "$out" && timeout 120 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=1) ||
    fail "npm could not install playwright-core (see above): the test needs the registry once, then it works offline"
  cp "$here/package-lock.json" "$out/installed-lock.json"
fi
exec env PAGE_OUT="$out" PAGE_LAB="$2" PAGE_PLANTED="$3" PAGE_CHROMIUM="$chromium" \
  node --test --test-reporter=spec "$here/page_test.mjs"
