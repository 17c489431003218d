# make demo   registers the sample pair in data/ with the shipped network
# make test   runs the tests
# Both make .venv first, with everything that is needed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

.PHONY: demo test lint clean

$(READY): setup.py pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else f"error: Python 3.10 to 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

demo: $(READY)
	mkdir -p demo
	$(BIN)/python scripts/register.py \
	    --fixed data/sample/g3-00000-L3_ct.nii.gz --fixed-seg data/sample/g3-00000-L3_seg.nii.gz \
	    --moving data/sample/g3-00001-L3_ct.nii.gz --moving-seg data/sample/g3-00001-L3_seg.nii.gz \
	    --moved demo/moved.nii.gz --moved-seg demo/moved_seg.nii.gz \
	    --warp demo/warp.h5 --inverse-warp demo/inverse_warp.h5 --affine demo/affine.tfm \
	    --metrics demo/metrics.json --figure demo/before_after.png
	@echo "Look at demo/before_after.png; open demo/warp.h5 in 3D Slicer."

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .

clean:
	rm -rf demo $(VENV) *.egg-info build
