# make demo            registers the sample pair in data/ with the shipped network
# make test            runs the tests, the slow ones left out, JOBS of them at a time
# make test-slow       runs the slow ones: full sizes, other registration tools, cold starts, the README's commands
# make test-backends   runs the tests of the core under JAX and PyTorch, in environments without TensorFlow
# make results DATA=folder [WORK=folder]   measures the test set and writes docs/results.md and the README's section
# make manual          makes a site of docs/ and the docstrings in build/manual; a warning is an error
# make release-check   builds wheel and sdist, installs them in a clean environment, and uses the commands outside the clone
# make lint types      checks style and which room imports which; checks types
# make explore         draws EXAMPLES times as many examples of a fresh seed, FILES damaged files, other moments to kill at
# make coverage        runs `make test` and reports the lines that it missed
# Each makes the environment that it needs first.

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
# Errors alone: pip's warnings are about its own index and version.
PIP     = $(BIN)/python -m pip install -qq --disable-pip-version-check
PYTEST  = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# What pip installs for `make test-backends`. The version of PyTorch is pinned so that an index which holds a CPU build
# gives that; elsewhere, where pip's default is a CUDA build of some GB, name another: make TORCH=... test-backends
JAX    ?= jax
TORCH  ?= torch==2.13.0
DATA    ?= $(error DATA=folder of the scans and people.csv is needed)
WORK    ?= build/results
RESULTS ?=
FIELDS := build/backend-fields

EXAMPLES ?= 20
FILES  ?= 10000

.PHONY: demo manual release-check results explore test test-slow test-backends lint types coverage clean

$(READY): setup.py pyproject.toml requirements-base.txt requirements-tensorflow.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else f"error: Python 3.10 to 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; try make PYTHON=python3.11")'
	@echo "Installing into $(VENV): some minutes, once"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip
	@$(PIP) -e '.[test]'
	@touch $@

demo: $(READY)
	@mkdir -p demo
	@$(BIN)/python scripts/register.py \
	    --fixed data/sample/g3-00000-L3_ct.nii.gz --fixed-seg data/sample/g3-00000-L3_seg.nii.gz \
	    --moving data/sample/g3-00001-L3_ct.nii.gz --moving-seg data/sample/g3-00001-L3_seg.nii.gz \
	    --moved demo/moved.nii.gz --moved-seg demo/moved_seg.nii.gz \
	    --warp demo/warp.h5 --inverse-warp demo/inverse_warp.h5 --affine demo/affine.tfm \
	    --metrics demo/metrics.json --figure demo/before_after.png --report demo/report.html
	@echo "Open demo/report.html in a browser, or look at demo/before_after.png; open demo/warp.h5 in 3D Slicer."

# RESULTS: further options of scripts/results.py, such as --part 0.2 or --methods network ants-syn.
results: $(READY)
	$(BIN)/python scripts/results.py --data $(DATA) --out $(WORK) $(RESULTS) --docs .

test: $(READY)
	$(PYTEST) -m "not slow"

test-slow: $(READY)
	$(PYTEST) -m slow

explore: $(READY)
	ACSGREG_EXAMPLES=$(EXAMPLES) $(PYTEST) -m hypothesis
	ACSGREG_SEED=$$(date +%s) $(BIN)/python -m pytest tests/cli/test_killed.py
	$(BIN)/python benchmarks/fuzz_readers.py --files $(FILES) --seed $$(date +%s) --processes $(JOBS) --findings build/findings

coverage: $(READY)
	$(PYTEST) -m "not slow" --cov acsgreg_tf --cov-report term-missing:skip-covered

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

.venv-jax/.installed: WHAT = $(JAX)
.venv-torch/.installed: WHAT = $(TORCH)

.venv-%/.installed: requirements-base.txt setup.py pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade pip
	.venv-$*/bin/python -m pip install --quiet -r requirements-base.txt '$(WHAT)' hypothesis jsonschema pytest pytest-xdist
	.venv-$*/bin/python -m pip install --quiet --no-deps -e .
	touch $@

# JAX compiles each shape that the tests of networks use; PyTorch is quick enough for all of them.
test-backends: $(READY) .venv-jax/.installed .venv-torch/.installed
	rm -rf $(FIELDS)
	KERAS_BACKEND=tensorflow $(BIN)/python -m tests.backend_fields write $(FIELDS)
	KERAS_BACKEND=jax .venv-jax/bin/python -m tests.backend_fields write $(FIELDS)
	KERAS_BACKEND=torch .venv-torch/bin/python -m tests.backend_fields write $(FIELDS)
	KERAS_BACKEND=tensorflow $(BIN)/python -m tests.backend_fields check $(FIELDS)
	KERAS_BACKEND=jax .venv-jax/bin/python -m tests.backend_fields check $(FIELDS)
	KERAS_BACKEND=torch .venv-torch/bin/python -m tests.backend_fields check $(FIELDS)
	KERAS_BACKEND=torch .venv-torch/bin/python -m pytest -n $(JOBS) --dist loadfile tests/ops tests/layers tests/networks \
	    tests/registration tests/test_losses.py tests/training tests/test_backends.py
	KERAS_BACKEND=jax .venv-jax/bin/python -m pytest -n $(JOBS) --dist loadfile tests/ops tests/layers \
	    tests/networks/test_networks.py tests/registration/refine tests/test_losses.py tests/test_backends.py

manual: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open build/manual/index.html; its search needs a server: python -m http.server --directory build/manual"

release-check: $(READY)
	@PYTHON=$(BIN)/python .ci/release-check

clean:
	rm -rf demo $(VENV) .venv-jax .venv-torch *.egg-info build
