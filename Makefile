# `make` lists what can be made. The scripts behind it are in .ci/ and sandbox/build.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export DOCKER_HOST ?= unix:///var/run/docker.sock
# rustup's tools, where a login shell has not put them on the PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

PACKAGES := static/node_modules/.package-lock.json

.PHONY: help run test check bench chaos fuzz host images web engine-start engine-stop dist dist-aarch64 twice clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build everything, start the server and print its URL
	@.ci/setup run
	@.ci/engine start
	@$(MAKE) --no-print-directory web images
	@cargo build --locked --release
	@exec target/release/shellcraft

test: ## all tests: crates, real Engine, page and browser; starts and stops what they need
	@.ci/test

check: ## format, lints, types and the documentation of the sources
	@.ci/setup check
	@$(MAKE) --no-print-directory web
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	npm --prefix static run check
	shellcheck --external-sources .ci/setup .ci/engine .ci/test .ci/run .ci/audit .ci/fuzz .ci/host .ci/dist .ci/dist-aarch64 .ci/twice .ci/compose .ci/lib.sh .ci/rings.sh sandbox/build tests/dockerd/systemd/machine tests/host/machine

bench: ## the benchmarks (a Docker Engine must answer)
	@.ci/setup test
	@$(MAKE) --no-print-directory web images
	cargo bench --locked --bench parts
	cargo bench --locked --bench bench
	cargo build --locked --release
	node benches/page.mjs

chaos: export CHAOS_ROUNDS := $(or $(CHAOS_ROUNDS),200)
# Once, for all of them.
chaos: export CHAOS_SEED := $(or $(CHAOS_SEED),$(shell shuf --input-range 1-999999999 --head-count 1))
chaos: ## kill servers and spoil Engine calls 200 times, Engines and Redis 20 times, while players play (CHAOS_ROUNDS, CHAOS_SEED)
	@.ci/setup test
	@$(MAKE) --no-print-directory web images
	@echo "CHAOS_SEED=$$CHAOS_SEED CHAOS_ROUNDS=$$CHAOS_ROUNDS"
	PROPTEST_CASES=$$CHAOS_ROUNDS timeout --verbose 1h \
		cargo test --locked --release --test it -- random_lives:: store_fences::random --nocapture
	timeout --verbose 3h \
		cargo test --locked --release --test dockerd chaos -- --nocapture --test-threads 2
	SHELLCRAFT_BIN=target/release/shellcraft timeout --verbose 1h \
		node --test tests/browser/exact.test.mjs

fuzz: export FUZZ_SECONDS := $(or $(FUZZ_SECONDS),3600)
fuzz: ## every fuzzer for an hour (FUZZ_SECONDS); .ci/run has them for a minute each
	@.ci/fuzz
	EMULATOR_MEGABYTES=100 cargo test --locked --test it -- emulator::random
	@.ci/setup test
	@$(MAKE) --no-print-directory web
	cargo build --locked --example redraw
	EMULATOR_SECONDS=$$FUZZ_SECONDS FROM=$$(shuf --input-range 1000-999999999 --head-count 1) \
		node --test --test-name-pattern random tests/emulator/emulator.test.mjs

host: dist ## types the README's first commands on a fresh Debian and plays there over https; shows all of it
	@.ci/setup test
	@.ci/host

images: ## the sandbox images shellcraft/rust and shellcraft/perl, if their sources changed
	@sandbox/build

web: $(PACKAGES) ## the page, into static/dist
	@npm --prefix static --silent run build

$(PACKAGES): static/package.json static/package-lock.json
	npm --prefix static ci --no-audit --no-fund
	@touch $@

engine-start: ## start a Docker Engine if none answers at DOCKER_HOST
	@.ci/engine start

engine-stop: ## stop the Docker Engine that `make` started
	@.ci/engine stop

dist: web images ## one static binary with the page and the shells in it: target/dist/shellcraft
	@.ci/dist

dist-aarch64: web ## the server alone for 64-bit ARM: target/dist/shellcraft-aarch64
	@.ci/dist-aarch64

twice: dist ## build that binary once more, in another folder, and compare: both are the same
	@.ci/twice

clean: ## remove what was built here (the images and a running Engine stay)
	@if [ -e target/engine/started ]; then echo "a Docker Engine was started from here: 'make engine-stop' first" >&2; exit 1; fi
	rm -rf target static/dist static/build static/node_modules tests/output tests/.env
