# Everything that is done here, by people and by machines. `make` lists it.

PYTHON ?= python3
VENV := .venv
OLDEST := .venv-gym100
RAY := .venv-ray
# Modules are compiled when they are first imported, which most never are, and then kept: the tests start
# hundreds of Pythons.
unexport PYTHONDONTWRITEBYTECODE
PIP := --quiet --disable-pip-version-check --no-compile
# Pytest's processes; the tests mostly wait.
WORKERS := 6
PYTEST := python -m pytest -n $(WORKERS) --dist worksteal
# Folders of tests in Python that are quick, but for the long rollouts.
QUICK := $(patsubst %,tests/%,spaces gymnasium_api wire) --ignore=tests/gymnasium_api/test_rollouts.py
# What `make fuzz` tries, and for how long each. A single frame should ask for little memory.
FUZZ := addresses frames messages sessions
FUZZ_PYTHON := spaces values
SECONDS ?= 450
FUZZING := -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1
# Where cargo puts what it builds, whichever way it was told.
TARGET := $(or $(shell cargo metadata --no-deps --format-version 1 2>/dev/null \
	| sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'),$(CURDIR)/target)
SERVER := $(TARGET)/release/examples/cartpole_server
# Programs of the tests in Python; see `PROGRAMS` in conftest.py.
PROGRAMS := agent counting_game game policy_server silent_client transcript vector_server
SOAK := $(TARGET)/release/examples/soak
EXTENSION := rlay-gym/python/rlay/_rlay.abi3.so
# What the extension is made of. Cargo knows better, but asking it takes longer.
SOURCES := $(shell find rlay-*/src -name '*.rs') $(wildcard rlay-*/Cargo.toml) Cargo.toml Cargo.lock rlay-gym/pyproject.toml

# How far C++ is optimized: tests are sooner done without.
OPT ?= 0
# Says that the C++ client is built.
CPP = target/sdk/cpp/.built-$(OPT)

# In this order; each is a target, too: `make check-clippy`.
CHECKS := format clippy features docs rust doctests soak python ruff mypy sdk gymnasium gymnasium-1.0

.PHONY: help demo test quick bench soak fuzz fmt build server sdk sdk-tools sdk-windows sdk-macos venvs clean check-ray $(CHECKS:%=check-%)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build server ## train on a CartPole in another process, in both paradigms (out/*.png)
	$(VENV)/bin/python examples/train_cartpole.py --server $(SERVER)

test: ## everything that must hold; ends with a summary
	@failed=0; summary=; began=$$(date +%s); \
	$(MAKE) --no-print-directory venvs & venvs=$$!; \
	for check in $(CHECKS); do \
		printf '\n=== %s\n' $$check; start=$$(date +%s); \
		[ $$check != python ] || wait $$venvs || true; \
		if $(MAKE) --no-print-directory check-$$check; then word=ok; else word=FAILED; failed=1; fi; \
		summary="$$summary$$(printf '  %-20s %-7s %5d s' $$check $$word $$(($$(date +%s) - start)))\n"; \
	done; \
	printf '\n=== summary\n%b' "$$summary"; \
	printf '  %-20s %-7s %5d s\n' all "$$([ $$failed = 0 ] && echo ok || echo FAILED)" $$(($$(date +%s) - began)); \
	exit $$failed

quick: build check-format check-ruff ## what takes two minutes of it, once all is built: between two edits
	cargo nextest run --profile quick --workspace --all-features
	cd rlay-gym && ../$(VENV)/bin/$(PYTEST) $(QUICK)

bench: build ## steps per second of every transport beside a raw ping-pong
	cargo run --release -p rlay-benches
	rlay-ffi/benches/idle.sh

soak: server ## ten minutes of sessions that are killed and replaced, or lose their connections
	$(SOAK) 600

# Begins with the golden vectors, the seeds and what earlier runs found; with the versions that everything else has.
fuzz: build ## most of an hour of made-up bytes (SECONDS=60: of each kind); fuzz/README.md says what it needs
	RLAY_WRITE_CORPUS=1 cargo test --quiet -p rlay-testkit --test fuzz corpus
	cp Cargo.lock fuzz/
	set -e; for target in $(FUZZ); do \
		cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- $(FUZZING); \
	done; \
	for target in $(FUZZ_PYTHON); do \
		$(VENV)/bin/python fuzz/python_targets/$$target.py fuzz/corpus/$$target fuzz/seeds/$$target \
			-artifact_prefix=fuzz/artifacts/$$target- $(FUZZING) -timeout=100; \
	done

.PHONY: deny
deny: ## what the crates may be, by deny.toml, where cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then set -ex; \
		cargo deny --workspace --all-features check bans licenses sources; \
		cargo deny --manifest-path sdk/bevy/Cargo.toml --all-features check --config deny.toml bans licenses sources; \
	else echo "nothing was checked: cargo-deny is not installed (cargo install --locked cargo-deny)"; fi

fmt: $(VENV)/.stamp ## format Rust and Python
	cargo fmt --all
	cargo fmt --manifest-path sdk/bevy/Cargo.toml
	$(VENV)/bin/ruff check --fix --quiet .
	$(VENV)/bin/ruff format .

build: $(VENV)/.built ## the Python package, in .venv

clean: ## remove all that was built
	rm -rf $(TARGET) fuzz/target out $(VENV) $(OLDEST) $(RAY) $(EXTENSION)

# With the extension's package among those selected, the two share all that they are made of. The tests in Python start
# the other programs, which are not to be compiled beside them.
server:
	cargo build --release -p rlay -p rlay-gym --all-features $(patsubst %,--example %,cartpole_server soak $(PROGRAMS))

sdk-tools: ## what the clients in other languages are built and run with, from Debian's packages
	sh sdk/tools.sh

sdk: sdk-tools $(CPP) ## the clients in other languages, with warnings as errors
	set -e; for build in rlay-ffi/build.sh $(filter-out sdk/cpp/%,$(wildcard sdk/*/build.sh)); do OPT=$(OPT) sh $$build; done

# Compiled again only when a file of it, or how far it is optimized, has changed: no other client takes so long.
$(CPP): $(shell find sdk/cpp -type f) | sdk-tools
	rm -f $(dir $@).built-*
	OPT=$(OPT) sh sdk/cpp/build.sh
	OPT=$(OPT) SANITIZE=address,undefined sh sdk/cpp/build.sh
	@touch $@

# Downloads; the compiler has something to do meanwhile.
venvs: $(VENV)/.stamp $(OLDEST)/.stamp

$(VENV)/.stamp: rlay-gym/requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install $(PIP) --requirement $<
	@touch $@

$(OLDEST)/.stamp: rlay-gym/requirements-gym100.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install $(PIP) --requirement $<
	@touch $@

$(RAY)/.stamp: rlay-gym/requirements-ray.txt
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/pip install $(PIP) --requirement $<
	@touch $@

$(VENV)/.built: $(VENV)/.stamp $(SOURCES)
	cd rlay-gym && CARGO_TARGET_DIR=$(TARGET) PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) ../$(VENV)/bin/maturin develop --release --quiet
	@touch $@

check-format:
	cargo fmt --all --check

check-clippy:
	cargo clippy --workspace --all-targets --all-features -- -D warnings

# Each transport builds alone, and so does the facade without any.
check-features:
	cargo check -p rlay --no-default-features
	set -e; for feature in tcp tls zmq quic shm ws; do cargo check -p rlay --no-default-features --features $$feature; done

check-docs:
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --all-features --no-deps

check-rust:
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --workspace --all-features --no-fail-fast; \
	else set -x; cargo test --workspace --all-features --lib --bins --tests; fi

check-doctests:
	cargo test --workspace --all-features --doc

# The one-minute form of `make soak`.
check-soak: server
	$(SOAK) 60

check-python: build server $(OLDEST)/.stamp

check-ruff: $(VENV)/.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# The stubs of the native module, too, are compared with what it has.
check-mypy: build
	cd rlay-gym && ../$(VENV)/bin/mypy --strict python/rlay
	$(VENV)/bin/mypy --strict examples/train.py
	cd rlay-gym && MYPYPATH=python PYTHONPATH=python ../$(VENV)/bin/python -m mypy.stubtest rlay._rlay

sdk-windows: build ## by hand: the C++ client built for Windows, and played under Wine
	sh sdk/cpp/cross.sh windows
	cd rlay-gym && RLAY_SDK_WINDOWS=1 RLAY_SDK_CLIENTS=cpp-windows ../$(VENV)/bin/$(PYTEST) tests/sdk \
		-k 'test_sdk_games or test_sdk_check or test_sdk_vectors'

sdk-macos: ## by hand: the C++ client built for macOS, where nothing here can run it
	sh sdk/cpp/cross.sh macos

# Below rlay-gym/tests, for they have agents in Python.
check-sdk: build server sdk
	cd rlay-gym && ../$(VENV)/bin/$(PYTEST) tests/sdk

check-gymnasium: build server
	cd rlay-gym && ../$(VENV)/bin/$(PYTEST) --ignore=tests/sdk

# Not in `make test`: it installs Ray, which has a Gymnasium of its own, and takes minutes. Root's runs see loopback alone.
check-ray: build $(RAY)/.stamp ## three Ray nodes, one of which is killed; installs Ray
	cd rlay-gym && PYTHONPATH=python $(shell [ $$(id -u) != 0 ] || echo unshare -n) \
		sh -c 'ip link set lo up 2>/dev/null; exec ../$(RAY)/bin/python -m pytest --timeout 600 ray_tests'

# The same extension, with the oldest Gymnasium that is supported, and what depends on its release.
check-gymnasium-1.0: build server $(OLDEST)/.stamp
	cd rlay-gym && PYTHONPATH=python ../$(OLDEST)/bin/$(PYTEST) -m gymnasium --ignore=tests/sdk
