# Two commands do everything on a fresh machine: `make reconstruct` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/sample
# PyPI's Linux build of torch brings CUDA along; TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu takes the small CPU build.
TORCH_INDEX_URL ?=

BIN := $(VENV)/bin
RECONSTRUCTION := bundles/lumbar_reconstruction
SAMPLE := $(RECONSTRUCTION)/sample
CONFIGS := $(RECONSTRUCTION)/configs
# Spinning threads cost more than they bring on a shared machine.
export OMP_WAIT_POLICY ?= passive

.PHONY: help install install-test reconstruct evaluate test lint clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed  ## create .venv with the pinned dependencies

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 13); sys.exit(None if ok else "lumbar_ext needs Python 3.11 or 3.12, found %d.%d: set PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

install-test: $(VENV)/.installed-test  ## the same with what the tests need

reconstruct: install  ## reconstruct the embedded sample study into OUT
	$(BIN)/python -m monai.bundle run --config_file $(CONFIGS)/inference.json \
	    --bundle_root $(RECONSTRUCTION) \
	    --ap_image $(SAMPLE)/ap.png --lat_image $(SAMPLE)/lat.png --calibration $(SAMPLE)/calibration.json \
	    --output_dir $(OUT)
	@echo "The reconstruction lies in $(abspath $(OUT))"

evaluate: install-test  ## simulate ten unseen subjects and print the error tables
	$(BIN)/python -m lumbar_ext.simulation.cohort --output_dir out/cohort/test --n 10 --seed 500000 --split test \
	    --workers 2 --meshes true
	$(BIN)/python -m monai.bundle run --config_file "['$(CONFIGS)/inference.json','$(CONFIGS)/evaluate.json']" \
	    --bundle_root $(RECONSTRUCTION) --dataset_dir out/cohort/test --output_dir out/evaluation

test: install-test  ## run the whole test suite
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

lint: install-test  ## check and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the targets made
	rm -rf $(VENV) out build *.egg-info

# MONAI Deploy and MONAI Label exclude each other (pydicom, numpy), so each has an environment of its own.
DEPLOY_VENV ?= .venv-deploy
LABEL_VENV ?= .venv-label
STUDIES ?= studies
PORT ?= 8000
CUDA_RUNTIME = $(abspath $(wildcard $(DEPLOY_VENV)/lib/python3.*/site-packages/nvidia/cu13/lib))

.PHONY: install-deploy test-deploy map install-label test-label label-server

$(DEPLOY_VENV)/.installed: constraints-deploy.txt pyproject.toml
	$(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/pip install -q --disable-pip-version-check -c constraints-deploy.txt torch \
	    $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	$(DEPLOY_VENV)/bin/pip install -q --disable-pip-version-check -c constraints-deploy.txt -e '.[deploy]' pytest
	@touch $@

install-deploy: $(DEPLOY_VENV)/.installed  ## create .venv-deploy for the MONAI Deploy application

test-deploy: install-deploy  ## test the MONAI Deploy application
	LD_LIBRARY_PATH=$(CUDA_RUNTIME) $(DEPLOY_VENV)/bin/python -m pytest tests/deploy

map: install-deploy  ## make build/map, the folder that becomes a MONAI Application Package
	$(DEPLOY_VENV)/bin/python -m lumbar_ext.deploy.packaging --output_dir build/map

$(LABEL_VENV)/.installed: constraints-label.txt pyproject.toml
	$(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/pip install -q --disable-pip-version-check -c constraints-label.txt torch \
	    $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	$(LABEL_VENV)/bin/pip install -q --disable-pip-version-check -c constraints-label.txt -e '.[label]' pytest
	@# Their own requirements include CUDA builds and an old jsonschema; '.[label]' lists what is really used.
	$(LABEL_VENV)/bin/pip install -q --disable-pip-version-check -c constraints-label.txt --no-deps monailabel pydicom-seg
	@touch $@

install-label: $(LABEL_VENV)/.installed  ## create .venv-label for the MONAI Label server

test-label: install-label  ## test the MONAI Label server
	$(LABEL_VENV)/bin/python -m pytest tests/label

label-server: install-label  ## serve the radiographs in STUDIES to MONAI Label clients on this machine
	$(LABEL_VENV)/bin/python -m lumbar_ext.label --studies $(STUDIES) --port $(PORT)
