#!/bin/sh
# Exits 0 only if forge goes red for a failing test, through the same wrapper that the test run uses. Otherwise a
# broken toolchain would look like a green one: npm's wrapper of forge, for one, hides the exit code.
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
folder=$(mktemp -d "$root/cache/check-forge-fails.XXXXXX" 2>/dev/null) || {
  mkdir -p "$root/cache" && folder=$(mktemp -d "$root/cache/check-forge-fails.XXXXXX") || exit 1
}
trap 'rm -rf "$folder"' EXIT INT TERM

# A test of bare Solidity: forge runs any function named test…, and a revert is a failure.
run() {
  cat > "$folder/Probe.t.sol" <<SOLIDITY
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

contract ProbeTest {
    function test_Probe() external pure {
        assert($1);
    }
}
SOLIDITY
  FOUNDRY_SRC="$folder" FOUNDRY_TEST="$folder" FOUNDRY_OUT="$folder/out" FOUNDRY_CACHE_PATH="$folder/cache" \
    "$root/script/forge" test --match-contract ProbeTest > "$folder/log" 2>&1
}

if ! run true || ! grep -q "1 passed" "$folder/log"; then
  cat "$folder/log" >&2
  echo "check-forge-fails: forge does not pass a test that holds" >&2
  exit 1
fi
if run false; then
  cat "$folder/log" >&2
  echo "check-forge-fails: forge exits 0 although a test failed" >&2
  exit 1
fi
if ! grep -q "1 failed" "$folder/log"; then
  cat "$folder/log" >&2
  echo "check-forge-fails: forge failed, but not because of the test" >&2
  exit 1
fi
echo "forge goes red when a test fails"
