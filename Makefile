SHELL := /bin/bash
.DEFAULT_GOAL := help
export SQLX_OFFLINE := true

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## run the whole suite in one process (Ctrl-C stops it)
	cargo run --bin suite -- $(ARGS)

.PHONY: test
test: ## run what CI runs: format, lints, docs, checked SQL, all tests (installs what it needs)
	scripts/test.sh $(ARGS)

.PHONY: verify
verify: ## check what is not Rust: manifests, infrastructure, pipeline, rules (installs its tools)
	scripts/verify.sh $(ARGS)

.PHONY: setup
setup: ## install what the tests need: PostgreSQL, cargo-nextest, sqlx-cli, MiniStack
	scripts/setup.sh

.PHONY: fuzz-api
fuzz-api: ## compare answers to generated requests with the OpenAPI documents (ARGS="--max-examples 200")
	cargo build --bin suite
	scripts/fuzz-api.sh $(ARGS)

.PHONY: fuzz
fuzz: ## fuzz the parsers, ten minutes each (ARGS="--seconds 60 --target calendar_file")
	scripts/fuzz.sh $(ARGS)

.PHONY: bench
bench: ## measure speed, lateness, memory and start on this machine (ARGS="--quick", "--only burst")
	cargo build --release --bins
	cargo run --release --bin bench -- $(ARGS)

.PHONY: worst-rules
worst-rules: ## search for the previews that take the most CPU (ARGS="--seconds 300 --seed 2")
	cargo run --quiet --release -p recurrence --example worst_rules -- $(ARGS)

.PHONY: storm
storm: ## test random failures for four minutes on each bus (ARGS="--seed 7 --bus aws")
	cargo build --bins
	cargo run --quiet --bin storm -- $(ARGS)

.PHONY: hostile
hostile: ## measure what a hostile user does to another, five minutes (ARGS="--bus aws --several")
	cargo build --release --bins
	cargo run --quiet --release --bin hostile -- $(ARGS)

.PHONY: build
build: ## build release binaries in target/release
	cargo build --release --bins

.PHONY: images
images: ## build images of the services (VERSION=2.0.0 ENV=dev REGISTRY=…; ARGS="--push")
	VERSION="$(VERSION)" ENV="$(ENV)" REGISTRY="$(REGISTRY)" scripts/images.sh $(ARGS)

.PHONY: pin-images
pin-images: ## pin the base images to the present digests of their tags (ARGS="--check" only compares)
	scripts/pin-images.sh $(ARGS)

.PHONY: compose-check
compose-check: ## start compose.yaml, send a reminder through it, remove it (COMPOSE="docker compose")
	scripts/compose-check.sh $(ARGS)

.PHONY: drill
drill: ## practise a restore: back up, lose and restore databases, count messages (ARGS="--pace 2")
	cargo build --bins
	scripts/restore-drill.sh $(ARGS)

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: lint
lint: ## clippy, as in CI
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: prepare
prepare: ## write the offline data of the checked SQL after a change of a query or a migration
	env -u SQLX_OFFLINE scripts/sqlx-prepare.sh $(ARGS)

.PHONY: openapi
openapi: ## write the openapi.json files after a change of a route
	UPDATE_OPENAPI=1 cargo nextest run --workspace -E 'test(openapi)'

.PHONY: config
config: ## write the config.json files (each binary's variables) after a change of the configuration
	UPDATE_CONFIG=1 cargo nextest run --workspace -E 'test(each_config_json)'

.PHONY: graph
graph: ## write docs/architecture-graph.md after a change of what a module or a crate depends on
	UPDATE_GRAPH=1 cargo nextest run --workspace -E 'package(architecture)'

.PHONY: clean
clean: ## remove the suite's data (.data) and the tests' cluster; build output stays
	-cargo run --quiet --bin test-postgres -- stop
	rm -rf .data
