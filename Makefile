# Everything that a user or CI calls. Needs Rust (rustup), Node with npm, and Python 3; installs the rest from lock files.
.DELETE_ON_ERROR:
.PHONY: help demo test test-contracts test-forge test-package test-analysis test-rust snapshots lint lint-rust lint-contracts fmt bench deep mutation toolchain tools build clean

CARGO := cargo
DEMO := .demo

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*  ## /\1: /p' Makefile

demo: toolchain build  ## The main job, end to end, on a chain of its own. PRIVATE=1: the input by commitment.
	target/release/zkslice demo --folder $(DEMO) $(if $(PRIVATE),--private)

# All parts at once: much of each is one thread, and waits.
test: toolchain tools  ## Every test: forge, Rust, end to end.
	script/package.mjs
	$(MAKE) --jobs=4 --output-sync=line nice-test-contracts test-rust

# Rust has the longer way to go: the contracts take what it leaves.
nice-%:
	nice $(MAKE) $*

test-contracts: test-forge test-package test-analysis

test-forge: toolchain tools
	script/check-forge-fails.sh
	script/check-gates.sh
	script/check-docs.mjs
	script/forge build
	script/abi.mjs --check
	script/check-standard-input.mjs
	script/snapshots.mjs --check
	FOUNDRY_PROFILE=ci script/forge test
	script/gas.mjs --check
	script/mutate.mjs --list
	script/check-errors.mjs

test-package: toolchain
	script/check-package.mjs
	script/check-hardhat.mjs
	script/check-encoders.mjs

test-analysis: toolchain tools
	FOUNDRY_PROFILE=analysis script/tool halmos
	script/coverage.mjs

snapshots: toolchain  ## Storage layouts, sizes and gas: look at the difference before you commit it.
	script/forge build
	script/snapshots.mjs
	FORGE_SNAPSHOT_EMIT=true FORGE_SNAPSHOT_CHECK=false script/forge test --match-contract GasTest

# One cargo call, so that every crate is built with one set of features, the command for the end-to-end tests too.
# More threads than cores: most tests wait for chains and other programs.
test-rust: toolchain
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice RUST_TEST_THREADS=$$((3 * $$(getconf _NPROCESSORS_ONLN))) \
	  $(CARGO) test --locked --release --workspace

lint: lint-rust lint-contracts  ## Formatting, clippy, Slither.

lint-rust:
	$(CARGO) fmt --all --check
	RUSTC_WRAPPER= RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/script/clippy-driver $(CARGO) build --locked --release --workspace --all-targets

lint-contracts: toolchain tools
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
