# What a person types. Everything behind it is `cargo xtask` (CONTRIBUTING.md).

CARGO ?= cargo

.PHONY: help run test demo build needs

help:
	@echo "make run    build what is missing and start the hub on embedded defaults"
	@echo "make test   all set-up, then everything CI runs"
	@echo "make demo   the hub and two real Prometheus servers that push to it"

run: build
	./target/release/nilometer serve

test: needs
	$(CARGO) xtask ci

demo: build
	$(CARGO) xtask demo

build: needs
	CARGO_TARGET_DIR=target $(CARGO) build --release --locked --package nilometer

# Says which command installs what is missing, and installs nothing itself.
needs:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo is missing. To install Rust:"; \
	  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"; \
	  exit 1; }
	@command -v cc >/dev/null || { \
	  echo "A C compiler is missing (for the cryptography and the allocator). On Debian and Ubuntu:"; \
	  echo "  sudo apt-get install -y build-essential"; \
	  exit 1; }
