# `make demo` and `make test` set everything up in .venv; nothing but Python 3.11+ and make is asked for.
# pip's own variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS ...) choose where packages come from,
# e.g. a CPU-only index for torch.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test real-tools faults fuzz fuzz-corpus check docs wheel format bench clean default-model

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/clickgrain demo

test: $(READY)
	$(BIN)/python -m pytest -n auto -rs

# The tests of real tools that are too large for .venv (Label Studio's server, napari with Qt, Datumaro ...), each in an
# environment in .real-tools: make real-tools TOOLS="napari rasterio"
real-tools: $(READY)
	$(BIN)/python tools/real_tools.py $(TOOLS)

# 200 kills, full disks, lost permissions and so on, of which `make test` runs a small part. CLICKGRAIN_SEED repeats one.
faults: $(READY)
	CLICKGRAIN_FAULTS=all $(BIN)/python -m pytest tests/faults
	CLICKGRAIN_FAULTS=all $(BIN)/python -m pytest tests/unit/proposals/test_cluster.py tests/unit/training/test_processes.py

# Hostile input for so many minutes a target, of which there are about eighty; `make test` tries a few of each.
# What breaks one is kept in tests/fuzz/corpus, which every run tries first.
FUZZ_MINUTES ?= 1
fuzz: $(READY)
	FUZZ_MINUTES=$(FUZZ_MINUTES) $(BIN)/python -m pytest tests/fuzz

# Adds inputs to tests/fuzz/corpus that reach lines of src which no input there reached before.
fuzz-corpus: $(READY)
	FUZZ_CORPUS=grow FUZZ_MINUTES=$(FUZZ_MINUTES) $(BIN)/python -m pytest tests/fuzz

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks studies tools examples integrations
	$(BIN)/ruff check src tests benchmarks studies tools examples integrations
	$(BIN)/mypy
	$(BIN)/python tools/draw_architecture.py --check

# The documentation site in site/; a broken link or a docstring that does not fit its function ends it.
docs: $(READY)
	$(BIN)/python tools/build_docs.py

# Wheel and sdist in dist/, installed into an empty environment and tried away from the checkout.
wheel: $(READY)
	$(BIN)/python tools/check_wheel.py --keep dist

format: $(READY)
	$(BIN)/ruff format src tests benchmarks studies tools examples integrations
	$(BIN)/ruff check --fix src tests benchmarks studies tools examples integrations

bench: $(READY)
	$(BIN)/python -m benchmarks

# The model in the package, from unlabelled photos alone; stop it whenever you like, the same call goes on.
# Two cores: as it stands. A GPU: make default-model PHOTOS=... DEVICE=cuda RECIPE=grain SHARD=1/1 STEPS=40000
PHOTOS ?= photos
RUN    ?= $(HOME)/.cache/clickgrain/default-model
RECIPE ?= grain-small
DEVICE ?= cpu
SHARD  ?= 1/8
STEPS  ?= 2000
SEED   ?= 0
SIDE   ?= 320
# `FROM=` (nothing) starts from the model in the package instead.
FROM   ?= --recipe $(RECIPE) --from-scratch

default-model: $(READY)
	$(BIN)/clickgrain propose $(PHOTOS) --out $(RUN)/trees.db --shard $(SHARD) --extractor color-texture
	$(BIN)/clickgrain train $(PHOTOS) --store $(RUN)/trees.db --out $(RUN)/run $(FROM) \
	    --extractor color-texture --steps $(STEPS) --seed $(SEED) --device $(DEVICE)
	$(BIN)/python tools/ship_default.py $(RUN)/run --long-side $(SIDE)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
