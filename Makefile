# make run      set this machine up, build, serve, print the page's address    ARGS="--preview"
# make test     set this machine up and pass every test                        T="-k interrupt"
# make bench    where the time goes, and what a viewer gets
# make lint     formatting and clippy
# make setup    only the set-up

# Where rustup puts cargo, for shells that don't know it yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# The program says so itself; this is for the tests and benches that load ONNX Runtime without it.
export ORT_DISABLE_TELEMETRY := 1

PROGRAM := target/release/mouthpiece
SYSTEM := .venv/bin/python -m pytest tests/system

.PHONY: run build test lint bench setup setup-tests

run: build
	@exec $(PROGRAM) serve $(ARGS)

build: setup
	@cargo build --release --locked

setup:
	@config/deploy/setup.sh run

setup-tests:
	@config/deploy/setup.sh test

lint: setup
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings

# One build first: the tests and the program then share it. Most system tests wait more than they work,
# so two files run at a time; those that count pictures on the clock come after them, with the machine to themselves.
test: setup-tests
	cargo build --release --locked
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo test --release --locked
ifdef T
	$(SYSTEM) $(T)
else
	$(SYSTEM) -m "not alone" --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(SYSTEM) -m alone
endif

bench: setup-tests
	cargo build --release --locked
	cargo bench --locked --bench stages --bench frame
	.venv/bin/python benches/measure.py
