#!/bin/sh
# Exits 0 only if CI goes red where it must: `make test` and `make lint` fail as soon as any command in them fails, and the
# tools behind these commands do fail for what they are there to find. script/check-forge-fails.sh does the same for forge.
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
mkdir -p "$root/cache" && folder=$(mktemp -d "$root/cache/check-gates.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT INT TERM

fail() {
  echo "check-gates: $1" >&2
  exit 1
}

# The Makefile among commands that do nothing, but for one that fails.
mkdir -p "$folder/make/script" "$folder/make/node_modules" "$folder/make/.venv/bin"
cp "$root/Makefile" "$folder/make" && cp "$root/package.json" "$root/package-lock.json" "$folder/make"
cp "$root/script/requirements.txt" "$folder/make/script"
touch "$folder/make/node_modules/.installed" "$folder/make/.venv/.installed"
for name in "$root"/script/* .venv/bin/python; do
  case "$name" in
    */requirements.txt) continue ;;
    .venv/*) stub=$folder/make/$name ;;
    *) stub=$folder/make/script/${name##*/} ;;
  esac
  cat > "$stub" <<'STUB'
#!/bin/sh
case "${0##*/} $*" in $FAILING) exit 1 ;; esac
STUB
  chmod +x "$stub"
done
red() { # a command that fails, what stands for cargo, targets
  ! FAILING=$1 make -C "$folder/make" CARGO="${2:-true}" ${3:-test lint} > "$folder/log" 2>&1
}
red "none" && { cat "$folder/log" >&2; fail "make fails although no command does"; }
for target in test lint; do
  red "none" false "$target" || fail "make $target does not fail with cargo"
done
for command in "package.mjs*" "check-standard-input.mjs*" "generate.mjs*" "mutate.mjs*" "check-forge-fails.sh*" "check-gates.sh*" "forge build*" "forge test*" "forge fmt*" \
  "check-errors.mjs*" "check-package.mjs*" "check-hardhat.mjs*" "check-docs.mjs*" "check-encoders.mjs*" "coverage.mjs*" "tool halmos*" "tool slither*" \
  "python script/conformance.py*" "python script/hunt.py*"; do
  red "$command" || fail "make does not fail with $command"
done

# Coverage: a report of contracts, one of which has one branch of ten uncovered.
(cd "$root" && git ls-files "contracts/*.sol") | while read -r file; do
  printf 'SF:%s\nLF:10\nLH:10\nBRF:10\nBRH:10\nend_of_record\n' "$file"
done > "$folder/full.info"
awk '!done && sub(/BRH:10/, "BRH:9") { done = 1 } { print }' "$folder/full.info" > "$folder/low.info"
"$root/script/coverage.mjs" --report "$folder/full.info" > "$folder/log" || fail "full coverage is not enough"
"$root/script/coverage.mjs" --report "$folder/low.info" > "$folder/log" 2>&1 && fail "low coverage passes"
sed '/BundleVerifier.sol/,/end_of_record/d' "$folder/full.info" > "$folder/short.info"
"$root/script/coverage.mjs" --report "$folder/short.info" > "$folder/log" 2>&1 && fail "a report that leaves a contract out passes"

# Documents: a page that cites one missing thing of each kind.
mkdir -p "$folder/page/docs" && cp "$root/docs/rules.md" "$folder/page/docs" && cp "$root/Makefile" "$root/CHANGELOG.md" "$folder/page"
git -C "$folder/page" init --quiet
cat > "$folder/page/Probe.md" <<'PAGE'
Rule B99, see onchain.md and docs/rules.md 7.9, section 3.1, `crates/none.rs`, [this](none.txt) and [that](docs/rules.md#none),
`make nothing`; `tests/None.t.sol::test_None`.
PAGE
"$root/script/check-docs.mjs" --root "$folder/page" > "$folder/log" 2>&1 && fail "a page that cites nothing real passes"
for message in "has no rule B99" "there is no onchain.md" "docs/rules.md has no section 7.9" "there is no section 3.1" \
  "there is no crates/none.rs" "the link to none.txt" "docs/rules.md has no heading #none" "the Makefile has no nothing" \
  "tests/None.t.sol has no test test_None"; do
  grep -q "^Probe.md:.*$message" "$folder/log" || fail "nobody says: $message"
done

grep -q "CHANGELOG.md: no code has the tag zkslice/context/v1" "$folder/log" || fail "nobody compares the changelog's tags"

# Generated files: a selector that is not its error's; it is found, named and mended.
made=$folder/made
mkdir -p "$made/script" "$made/contracts" && cp -R "$root/script/generate.mjs" "$root/script/generate" "$made/script"
for name in interfaces libraries consumers testing examples BundleVerifier.sol BundleVerifier0x09.sol; do cp -R "$root/contracts/$name" "$made/contracts"; done
selectors() { "$made/script/generate.mjs" selectors "$@" > "$folder/log" 2>&1; }
selectors --check || { cat "$folder/log" >&2; fail "a committed file is not as generated"; }
wrong=contracts/interfaces/IModelRegistry.sol
sed 's/Selector 0x./Selector 0xg/' "$root/$wrong" > "$made/$wrong"
selectors --check && fail "a file that is not as generated passes"
grep -q "make generate" "$folder/log" && grep -q "^  $wrong$" "$folder/log" || { cat "$folder/log" >&2; fail "nobody names the file"; }
cmp -s "$root/$wrong" "$made/$wrong" && fail "a check writes"
selectors && cmp -s "$root/$wrong" "$made/$wrong" || fail "a file is not generated again"

# clippy: a crate without a fault, and one with a fault that is no error of rustc's.
printf 'pub fn probe(x: &[u8]) -> usize { x.len() }\n' > "$folder/good.rs"
printf 'pub fn probe(x: &Vec<u8>) -> usize { x.len() }\n' > "$folder/bad.rs"
lint() {
  "$root/script/clippy-driver" rustc --crate-name probe --crate-type lib --edition 2024 --emit=dep-info,metadata,link \
    --out-dir "$folder" "$folder/$1.rs" > "$folder/log" 2>&1
}
lint good || { cat "$folder/log" >&2; fail "clippy finds something in a crate without a fault"; }
lint bad && fail "clippy passes a crate with a fault"
grep -q "clippy::ptr.arg" "$folder/log" || {
  cat "$folder/log" >&2
  fail "clippy failed, but not because of the fault"
}

# slither and halmos: a contract that anyone can empty, and a theorem that is false; a function that slither cannot read,
# and a theorem that halmos does not follow to the end.
mkdir "$folder/probe" && cat > "$folder/probe/Probe.sol" <<'SOLIDITY'
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

contract ProbeTest {
    function drain(address payable to) external {
        to.transfer(address(this).balance);
    }

    function check_Probe(uint256 x) external pure {
        assert(x != 42);
    }
}

interface Named {
    function selector() external view returns (bytes4);
}

contract UnreadTest {
    function unread() external pure returns (bytes4) {
        return Named.selector.selector;
    }

    function check_Sum(uint256 n) external pure {
        uint256 sum;
        for (uint256 i = 0; i < n; ++i) {
            ++sum;
        }
        assert(sum == n);
    }
}
SOLIDITY
export FOUNDRY_SRC="$folder/probe" FOUNDRY_TEST="$folder/none" FOUNDRY_OUT="$folder/out" FOUNDRY_CACHE_PATH="$folder/cache"
if "$root/script/tool" slither . > "$folder/log" 2>&1; then fail "slither passes a contract that anyone can empty"; fi
grep -q "sends eth to arbitrary user" "$folder/log" || {
  cat "$folder/log" >&2
  fail "slither failed, but not because of the contract"
}
"$root/script/left-out.mjs" slither "$folder/log" > "$folder/left-out" 2>&1 && fail "what slither leaves out passes"
grep -q "slither leaves out.*unread" "$folder/left-out" || fail "what slither leaves out is not named"
if FOUNDRY_TEST="$folder/probe" "$root/script/tool" halmos --contract ProbeTest --forge-build-out "$folder/out" \
  > "$folder/log" 2>&1; then
  fail "halmos passes a false theorem"
fi
grep -q "0 passed; 1 failed" "$folder/log" || {
  cat "$folder/log" >&2
  fail "halmos failed, but not because of the theorem"
}
if FOUNDRY_TEST="$folder/probe" "$root/script/tool" halmos --contract UnreadTest --forge-build-out "$folder/out" \
  > "$folder/log" 2>&1; then
  fail "halmos passes a theorem that it did not follow to the end"
fi
grep -q "1 passed; 0 failed" "$folder/log" && grep -q "halmos leaves out.*check_Sum" "$folder/log" || {
  cat "$folder/log" >&2
  fail "halmos failed, but not because of the loop"
}
echo "CI goes red when a gate does"
