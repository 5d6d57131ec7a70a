# Every target sets up what it needs; `make help` lists them.
VENV ?= .venv
BIN := $(VENV)/bin
export VENV

.DEFAULT_GOAL := help
.PHONY: help setup demo soc-demo test test-full fresh-check equivalence formal mutate bench compare-peers bench-networks bench-resnet50 bench-synth onnx-backend corpus lint docs docs-test screenshots docs-site lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install tools and packages; leaves .venv/bin/pulsarray
	@scripts/setup.sh

demo: setup ## Classify real digits on the model, Verilator and Icarus; compare and report
	@"$(BIN)"/python scripts/demo.py

soc-demo: setup ## Firmware on a RISC-V processor reads digits and trains through the driver in C
	@"$(BIN)"/python -m examples.soc.demo

test: setup ## Run the tests
	@"$(BIN)"/python -m pytest -n auto --dist loadfile -m "not slow"

test-full: setup ## Run all tests, the long random comparisons included
	@"$(BIN)"/python -m pytest -n auto --dist load

fresh-check: ## Run demo and test on a new, minimal Debian (as root; half an hour)
	@scripts/fresh_check.sh

equivalence: setup ## Prove the Verilog of tiny and small equal to what Yosys writes (minutes)
	@"$(BIN)"/python -m proofs.equivalence --jobs 2 --config tiny --config small $(ARGS)

formal: setup ## Prove the control blocks, find planted faults, explore deadlocks (half an hour)
	@"$(BIN)"/python -m proofs.formal --faults --jobs 2 $(ARGS)
	@"$(BIN)"/python -m proofs.deadlock

mutate: setup ## How many faults drawn in each block its bench notices (ten minutes of the processor)
	@"$(BIN)"/python -m benchmarks.mutation $(ARGS)

bench: setup ## Measure; writes docs/benchmarks.md
	@"$(BIN)"/python scripts/bench.py

bench-resnet50: setup ## ResNet-50 whole on Verilator against the model; goes on where it was stopped
	@"$(BIN)"/python benchmarks/resnet50.py

onnx-backend: setup ## The onnx package's own tests of the operators that are taken
	@"$(BIN)"/python -W ignore -m benchmarks.onnx_backend

corpus: setup ## Compare what the compiler makes with benchmarks/corpus.txt; ARGS=--help
	@"$(BIN)"/python -m benchmarks.corpus $(ARGS)

compare-peers: setup ## Cycles and energy beside GAP9, Vela, SCALE-Sim, ZigZag; ARGS="--networks FOLDER --write"
	@"$(BIN)"/python -m benchmarks.peers $(ARGS)

bench-networks: setup ## Compile the networks that ship in Python packages; error beside other runtimes
	@"$(BIN)"/python -W ignore -m benchmarks.shipped $(ARGS)

bench-synth: setup ## Synthesize every preset; writes docs/hardware.md (needs pulsarray[synth])
	@"$(BIN)"/python scripts/bench_synth.py

lint: setup ## Check style, types, imports between layers, and generated pages
	@"$(BIN)"/ruff check .
	@"$(BIN)"/ruff format --check .
	@"$(BIN)"/mypy
	@"$(BIN)"/mypy --explicit-package-bases scripts benchmarks examples proofs
	@"$(BIN)"/lint-imports
	@"$(BIN)"/python scripts/make_docs.py --check
	@"$(BIN)"/python scripts/code_size.py

docs: setup ## Write the pages of docs/ that derive from definitions
	@"$(BIN)"/python scripts/make_docs.py

docs-test: setup ## Run all Python and shell of README, docs and tutorials; tutorials as notebooks too (minutes)
	@"$(BIN)"/python -m pytest tests/docs -n auto --dist load

screenshots: docs-site ## Pictures of pages and site in Chromium, at two widths, into build/screenshots
	@"$(BIN)"/python scripts/screenshots.py build/screenshots

docs-site: setup ## Build the documentation site into build/site (needs pulsarray[docs])
	@"$(BIN)"/mkdocs build --strict --quiet

lock: setup ## Write requirements.lock from the packages installed
	@"$(BIN)"/python scripts/make_lock.py

clean: ## Remove what tools leave behind; .venv and the build cache stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	rm -rf .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
