# Everything that a user or CI calls. Needs Rust (rustup), Node with npm, and Python 3; installs the rest from lock files.
.DELETE_ON_ERROR:
.PHONY: help demo network test test-forge test-package test-analysis test-rust test-models test-generated generate conformance hunt build-tests lint lint-rust lint-contracts fmt bench deep mutation toolchain tools build clean

CARGO := cargo
DEMO := .demo

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*  ## /\1: /p' Makefile

demo: toolchain build  ## The main job, end to end, on a chain of its own. PRIVATE=1: the input by commitment.
	target/release/zkslice demo --folder $(DEMO) $(if $(PRIVATE),--private)

SECONDS := 30
MINERS := 8

network: toolchain build  ## A prover network on this machine: SECONDS=n of requests, MINERS=n.
	target/release/zkslice network --folder .network --seconds $(SECONDS) --miners $(MINERS)

# All parts at once: much of each is one thread, and waits.
test: toolchain  ## Every test: forge, Rust, end to end, other people's models.
	script/package.mjs
	$(MAKE) --jobs=4 --output-sync=line nice-test-forge nice-test-package nice-test-analysis test-rust test-models test-generated

# Rust has the longer way to go: the contracts take what it leaves.
nice-%:
	nice $(MAKE) $*

# Installed once, while Rust builds.
nice-test-forge nice-test-analysis: tools

test-forge: toolchain tools
	script/check-forge-fails.sh
	script/check-gates.sh
	script/check-docs.mjs
	script/forge build
	script/check-standard-input.mjs
	FOUNDRY_PROFILE=ci script/forge test
	script/mutate.mjs --list
	script/check-errors.mjs

test-package: toolchain
	script/check-package.mjs
	script/check-hardhat.mjs
	script/check-encoders.mjs

test-analysis: toolchain tools
	FOUNDRY_PROFILE=analysis script/tool halmos
	script/coverage.mjs

generate: toolchain  ## Every committed file that a program makes: look at the difference before you commit it.
	script/generate.mjs

# After the others: it uses what they built, and two do not build one thing at once.
test-generated: nice-test-forge build-tests
	nice script/generate.mjs --check

# One cargo call, so that every crate is built with one set of features, the command for the end-to-end tests too.
build-tests: toolchain
	$(CARGO) test --locked --release --workspace --no-run

# More threads than cores: most tests wait for chains and other programs.
test-rust: build-tests
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice RUST_TEST_THREADS=$$((3 * $$(getconf _NPROCESSORS_ONLN))) \
	  $(CARGO) test --locked --release --workspace

# What nobody here wrote: the ONNX node tests without proofs, and random models against ONNX Runtime.
test-models: build-tests tools
	nice .venv/bin/python script/conformance.py --check
	nice .venv/bin/python script/hunt.py $(SEED) $(N)

conformance: toolchain tools  ## The ONNX node tests, with proofs; writes docs/conformance.md.
	$(CARGO) build --locked --release --workspace --examples
	.venv/bin/python script/conformance.py

SEED := 1
N := 300

hunt: toolchain tools  ## Random models against ONNX Runtime: SEED=s N=n.
	$(CARGO) build --locked --release --workspace --examples
	.venv/bin/python script/hunt.py $(SEED) $(N)

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
	target/release/zkslice bench tests/models/mlp_784 tests/models/lenet5_avg tests/models/lenet5_max tests/models/cnn_3x32 tests/models/lstm_s8h16 tests/models/gru_s8h16 tests/models/tblock_d64s8

deep: toolchain mutation  ## Long runs: forge with 100,000 cases, parsers with many more inputs, mutants.
	FOUNDRY_PROFILE=deep script/forge test
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice ZKSLICE_FUZZ_ITERATIONS=2000000 $(CARGO) test --locked --release --workspace --test end_to_end fuzz::
	ZKSLICE_SIMULATION=20 $(CARGO) test --locked --release --workspace --test subnet simulation::cheating_earns_nothing

mutation: toolchain tools  ## Fails for every mutant that the tests let live and docs/mutation.md does not explain; hours.
	script/mutate.mjs

build:
	$(CARGO) build --locked --release -p zkslice

toolchain: node_modules/.installed

node_modules/.installed: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

tools: .venv/.installed  ## slither, halmos, onnx and ONNX Runtime.

.venv/.installed: script/requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r script/requirements.txt
	touch $@

clean:
	rm -rf target node_modules .venv out cache $(DEMO) .network
