# Everything that a user or CI calls. Needs Rust (rustup), Node with npm, and Python 3; installs the rest from lock files.
.DELETE_ON_ERROR:
.PHONY: demo test test-rust test-contracts lint fmt bench deep toolchain build clean

CARGO := cargo
DEMO := .demo

demo: toolchain build  ## The main job, end to end, on a chain of its own. PRIVATE=1: the input by commitment.
	target/release/zkslice demo --folder $(DEMO) $(if $(PRIVATE),--private)

test: toolchain test-contracts test-rust  ## Every test: forge, Rust, end to end.

test-contracts: toolchain
	script/check-forge-fails.sh
	script/forge build
	script/abi.mjs --check
	script/forge test

# One cargo call, so that every crate is built with one set of features, the command for the end-to-end tests too.
test-rust: toolchain
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice $(CARGO) test --locked --release --workspace

lint: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings
	script/forge fmt --check

fmt: toolchain
	$(CARGO) fmt --all
	script/forge fmt

bench: build  ## Figures of docs/benchmarks.md.
	target/release/zkslice bench tests/models/mlp_784 tests/models/lenet5_avg tests/models/lenet5_max tests/models/cnn_3x32

deep: toolchain  ## Long runs: forge with 100,000 cases, parsers with many more inputs.
	FOUNDRY_PROFILE=deep script/forge test
	ZKSLICE_BIN=$(CURDIR)/target/release/zkslice ZKSLICE_FUZZ_ITERATIONS=2000000 $(CARGO) test --locked --release -p zkslice-tests --test fuzz

build:
	$(CARGO) build --locked --release -p zkslice

toolchain: node_modules/.installed

node_modules/.installed: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

clean:
	rm -rf target node_modules out cache $(DEMO)
