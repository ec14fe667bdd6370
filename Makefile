# The commands of this house; each is one or two plain ones.

TARGET := $(shell rustc --version --verbose | sed -n 's/^host: //p')
PREFIX ?= /usr/local
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
KETCH := $(CARGO_TARGET_DIR)/$(TARGET)/release/ketch

.PHONY: help build check test unit kernel e2e bench demo install clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /\1	/p' Makefile | expand -t 12

build: ## Build target/<host>/release/ketch
	cargo build --release --bin ketch

check: ## Formatting, lints, the law of the house
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

test: ## Everything that can be tested here (as root: installs the Debian packages it needs)
	tests/packages.sh test
	tests/run.sh

unit: ## What needs no root
	cargo test --workspace --lib --bins --test tidy --test conformance

kernel: ## The runtime on the real kernel, each test in its own world (root)
	cargo test --package ketch-runtime --test kernel

e2e: ## The built binary as a user has it (root)
	cargo test --test e2e

bench: build ## How fast ketch is, against the kernel's floor (root); ONLY=config: a part of it
	tests/packages.sh bench
	cargo run --release --package ketch-bench -- $(KETCH) $(CARGO_TARGET_DIR)/bench.json $(ONLY)

demo: build ## Bring the guestbook up, sign it, take it down and up again (root)
	tests/packages.sh demo
	KETCH=$(KETCH) examples/guestbook/try.sh

install: build ## Install to PREFIX/bin
	install -D $(KETCH) $(DESTDIR)$(PREFIX)/bin/ketch

clean: ## Remove what was built
	cargo clean
