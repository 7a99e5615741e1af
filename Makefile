# Everything that a user or CI calls. Needs Rust (rustup), Node with npm, and Python 3; installs the rest from lock files.
.DELETE_ON_ERROR:
.PHONY: help demo test test-rust test-contracts snapshots lint fmt bench deep mutation toolchain tools build clean

CARGO := cargo
DEMO := .demo

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*  ## /\1: /p' Makefile

demo: toolchain build  ## The main job, end to end, on a chain of its own. PRIVATE=1: the input by commitment.
	target/release/zkslice demo --folder $(DEMO) $(if $(PRIVATE),--private)

# Both halves at once: most of the contracts' half is one thread.
test: toolchain tools  ## Every test: forge, Rust, end to end.
	node script/package.mjs
	$(MAKE) --jobs=2 --output-sync=line test-contracts test-rust

test-contracts: toolchain tools
	script/check-forge-fails.sh
	script/check-gates.sh
	script/check-docs.mjs
	script/forge build
	script/abi.mjs --check
	script/check-standard-input.mjs
	script/snapshots.mjs --check
	script/forge test
	script/gas.mjs --check
	script/mutate.mjs --list
	script/check-errors.mjs
	script/check-package.mjs
	script/check-hardhat.mjs
	script/check-encoders.mjs
	FOUNDRY_PROFILE=analysis script/tool halmos
	script/coverage.mjs

snapshots: toolchain  ## Storage layouts, sizes and gas: look at the difference before you commit it.
	script/forge build
	script/snapshots.mjs
	FORGE_SNAPSHOT_EMIT=true FORGE_SNAPSHOT_CHECK=false script/forge test --match-contract GasTest

# One cargo call, so that every crate is built with one set of features, the command for the end-to-end tests too.
test-rust: toolchain
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice $(CARGO) test --locked --release --workspace

lint: toolchain tools  ## Formatting, clippy, Slither.
	$(CARGO) fmt --all --check
	RUSTC_WRAPPER= RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/script/clippy-driver $(CARGO) build --locked --release --workspace --all-targets
	script/forge fmt --check
	FOUNDRY_PROFILE=analysis script/tool slither .

fmt: toolchain
	$(CARGO) fmt --all
	script/forge fmt

bench: build  ## Figures of docs/benchmarks.md.
	target/release/zkslice bench tests/models/mlp_784 tests/models/lenet5_avg tests/models/lenet5_max tests/models/cnn_3x32

deep: toolchain mutation  ## Long runs: forge with 100,000 cases, parsers with many more inputs, mutants.
	FOUNDRY_PROFILE=deep script/forge test
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice ZKSLICE_FUZZ_ITERATIONS=2000000 $(CARGO) test --locked --release --workspace --test end_to_end fuzz::

mutation: toolchain tools  ## Fails for every mutant that the tests let live and docs/mutation.md does not explain; hours.
	script/mutate.mjs

build:
	$(CARGO) build --locked --release -p zkslice

toolchain: node_modules/.installed

node_modules/.installed: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

tools: .venv/.installed  ## slither and halmos.

.venv/.installed: script/requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r script/requirements.txt
	touch $@

clean:
	rm -rf target node_modules .venv out cache $(DEMO)
