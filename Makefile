SHELL := /bin/bash
.DEFAULT_GOAL := help
export SQLX_OFFLINE := true

.PHONY: help
help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## run the whole suite in one process, nothing configured (Ctrl-C ends it)
	cargo run --bin suite -- $(ARGS)

.PHONY: test
test: ## everything that must hold: format, lints, docs, checked SQL, all tests (sets itself up)
	scripts/test.sh $(ARGS)

.PHONY: verify
verify: ## everything that is not Rust: manifests, infrastructure, pipeline, images' recipe, rules (sets itself up)
	scripts/verify.sh $(ARGS)

.PHONY: setup
setup: ## get what the tests need: PostgreSQL, cargo-nextest, sqlx-cli, MiniStack
	scripts/setup.sh

.PHONY: bench
bench: ## measure speed, lateness, memory and start on this machine (ARGS="--quick", "--only burst")
	cargo build --release --bins
	cargo run --release --bin bench -- $(ARGS)

.PHONY: storm
storm: ## kill, pause and cut off everything at random for four minutes on each bus, and judge (ARGS="--seed 7 --bus aws")
	cargo build --bins
	cargo run --quiet --bin storm -- $(ARGS)

.PHONY: hostile
hostile: ## a user does everything at once that costs much, for five minutes; what another one notices (ARGS="--bus aws --several")
	cargo build --release --bins
	cargo run --quiet --release --bin hostile -- $(ARGS)

.PHONY: build
build: ## release binaries in target/release
	cargo build --release --bins

.PHONY: images
images: ## container images of the services (VERSION=2.0.0 ENV=dev REGISTRY=…; ARGS="--push")
	VERSION="$(VERSION)" ENV="$(ENV)" REGISTRY="$(REGISTRY)" scripts/images.sh $(ARGS)

.PHONY: pin-images
pin-images: ## pin the base images to the digests that their tags have now (ARGS="--check" only looks)
	scripts/pin-images.sh $(ARGS)

.PHONY: compose-check
compose-check: ## bring compose.yaml up, send a reminder through it, take it down (COMPOSE="docker compose")
	scripts/compose-check.sh $(ARGS)

.PHONY: drill
drill: ## the restore drill: back up, lose and restore real databases, count what arrives (ARGS="--pace 2")
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

.PHONY: clean
clean: ## remove the suite's data (.data) and the tests' cluster; build output stays
	-cargo run --quiet --bin test-postgres -- stop
	rm -rf .data
