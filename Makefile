# Two commands do everything on a fresh machine: `make reconstruct` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/sample
# PyPI's Linux build of torch brings CUDA along; TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu takes the small CPU build.
TORCH_INDEX_URL ?=

BIN := $(VENV)/bin
comma := ,
RECONSTRUCTION := bundles/lumbar_reconstruction
NETWORK := bundles/lumbar_multitask
SAMPLE := $(RECONSTRUCTION)/sample
# Spinning threads cost more than they bring on a shared machine.
export OMP_WAIT_POLICY ?= passive

.PHONY: help install install-test reconstruct evaluate evaluate-measurements measurement-sets measurement-tables evaluate-network evaluate-levels evaluate-real calibrate-network test test-cohort test-pacs test-torchrun install-validators fuzz kills walk lint clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed  ## create .venv with the pinned dependencies, and compile the kernels

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 13); sys.exit(None if ok else "lumbar_ext needs Python 3.11 or 3.12, found %d.%d: set PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	-$(BIN)/lumbar-ext warm-up >/dev/null
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

install-test: $(VENV)/.installed-test  ## the same with what the tests need

reconstruct: install  ## reconstruct the embedded sample study into OUT
	$(BIN)/lumbar-ext reconstruct $(SAMPLE)/ap.png $(SAMPLE)/lat.png $(SAMPLE)/calibration.json $(OUT)

evaluate: install-test  ## simulate ten unseen subjects and print the error tables
	$(BIN)/lumbar-ext simulate --output_dir out/cohort/test --n 10 --seed 500000 --split test \
	    --workers 2 --meshes true --parameters plain
	$(BIN)/lumbar-ext evaluate out/cohort/test out/evaluation

# Sets of validation people choose the factors of the intervals, sets of test people check them. Studies that are there are kept.
# N=3 makes every set as small as that, and leaves the package's own factors and pictures alone; below nine people there are none.
N ?=
WORKERS ?= 2
MEASURED ?= out/measurement_sets
MEASURES ?= out/measurements
BIASED ?= $(or $(N),5)
CALIBRATION ?= $(if $(N),$(MEASURES)/interval_calibration.json,lumbar_ext/measurements/uncertainty/interval_calibration.json)
MEASURE_PICTURES ?= $(if $(N),$(MEASURES),$(RECONSTRUCTION)/docs/images)
MEASURE_TABLES := $(MEASURES)/tables
MEASURED_PEOPLE = $(BIN)/lumbar-ext simulate --workers $(WORKERS) --meshes true
STUDY_OF = $(BIN)/lumbar-ext evaluate-measurements --workers $(WORKERS)
VALIDATION_SETS := plain findings postures cameras
TEST_SETS := plain findings voxels real
# A dictionary of a table of each set, as the commands take it.
tables_of = {$(foreach set,$(2),'$(set)': '$(MEASURES)/$(1)-$(set)/$(3)'$(comma))}

measurement-sets: install-test  ## simulate the sets of evaluate-measurements: 82 validation and 52 test studies
	$(MEASURED_PEOPLE) --split validation --output_dir $(MEASURED)/validation-plain --n $(or $(N),20) --seed 900000 --parameters plain
	$(MEASURED_PEOPLE) --split validation --output_dir $(MEASURED)/validation-findings --n $(or $(N),24) --seed 910000 \
	    --parameters plain --pathology mixed
	$(MEASURED_PEOPLE) --split validation --output_dir $(MEASURED)/validation-postures --n $(or $(N),18) --seed 920000 \
	    --parameters plain --protocol poses_in_turn
	$(MEASURED_PEOPLE) --split validation --output_dir $(MEASURED)/validation-cameras --n $(or $(N),20) --seed 930000 \
	    --parameters noisy_cameras
	$(MEASURED_PEOPLE) --split test --output_dir $(MEASURED)/test-plain --n $(or $(N),20) --seed 950000 --parameters plain
	$(MEASURED_PEOPLE) --split test --output_dir $(MEASURED)/test-findings --n $(or $(N),24) --seed 960000 --parameters plain --pathology mixed
	$(MEASURED_PEOPLE) --split test --output_dir $(MEASURED)/test-voxels --n $(or $(N),4) --seed 970000 --parameters plain --renderer voxels
	$(MEASURED_PEOPLE) --split test --output_dir $(MEASURED)/test-real --n $(or $(N),4) --seed 980000 --parameters plain --renderer voxels \
	    --variation none

evaluate-measurements: measurement-sets  ## choose the measurements' intervals on validation people, check them and the grades on test people
	mkdir -p $(MEASURE_TABLES)
	for name in $(VALIDATION_SETS); do \
	    $(STUDY_OF) $(MEASURED)/validation-$$name $(MEASURES)/validation-$$name > $(MEASURE_TABLES)/accuracy-validation-$$name.md || exit 1; done
	$(BIN)/lumbar-ext calibrate-measurements "$(call tables_of,validation,$(VALIDATION_SETS),measurement_errors.csv)" \
	    --calibration $(CALIBRATION) > $(MEASURE_TABLES)/factors.md
	for name in $(TEST_SETS); do \
	    $(STUDY_OF) $(MEASURED)/test-$$name $(MEASURES)/test-$$name > $(MEASURE_TABLES)/accuracy-test-$$name.md || exit 1; done
	$(MAKE) --no-print-directory measurement-tables

# What is read from the tables of errors that lie there; minutes.
measurement-tables:
	$(BIN)/lumbar-ext check-measurements "$(call tables_of,test,$(TEST_SETS),measurement_errors.csv)" --record $(CALIBRATION) \
	    --people 'simulated studies of one real person (VerSe 014)' --picture $(MEASURE_PICTURES)/measurement_calibration.png \
	    > $(MEASURE_TABLES)/coverage.md
	$(BIN)/lumbar-ext check-grades "$(call tables_of,validation,$(VALIDATION_SETS),vertebra_quality.csv)" --limits true \
	    > $(MEASURE_TABLES)/grades-validation.md
	$(BIN)/lumbar-ext check-grades "$(call tables_of,test,$(TEST_SETS),vertebra_quality.csv)" \
	    --picture $(MEASURE_PICTURES)/grade_reliability.png > $(MEASURE_TABLES)/grades.md
	for name in validation-plain test-plain; do \
	    $(BIN)/lumbar-ext evaluate-shape-values $(MEASURED)/$$name $(MEASURES)/$$name/shape_errors.csv --limit $(BIASED) \
	        --workers $(WORKERS) > $(MEASURE_TABLES)/shape-$$name.md || exit 1; \
	    $(STUDY_OF) $(MEASURED)/$$name $(MEASURES)/$$name/truth --n_studies $(BIASED) \
	        --inputs 'true decompositions and landmarks' > $(MEASURE_TABLES)/truth-$$name.md || exit 1; done
	$(BIN)/lumbar-ext apportion-biases "{'validation': '$(MEASURES)/validation-plain', 'test': '$(MEASURES)/test-plain'}" \
	    > $(MEASURE_TABLES)/biases.md
	tail -n +1 $(MEASURE_TABLES)/*.md

# The network's sets; studies that are there are kept. CT and LABELS, files of a real CT, add one more.
SETS ?= out/network_sets
CT ?=
LABELS ?=
FINDINGS := sacralised lumbarised fusion scoliosis
COHORT = $(BIN)/lumbar-ext simulate --workers 2 --meshes true --parameters plain
FIRST_GENERATION = $(BIN)/lumbar-ext evaluate-first-generation
CT_SET = $(if $(or $(CT),$(wildcard $(SETS)/ct)),$(comma) 'real CT': '$(SETS)/ct')

evaluate-network: install-test  ## simulate the network's test sets and print its tables (an hour on two cores)
	$(COHORT) --split test --output_dir $(SETS)/test18 --n 8 --seed 600000 --protocol poses18
	$(COHORT) --split test --output_dir $(SETS)/test_pathology --n 24 --seed 650000 --pathology mixed
	for finding in $(FINDINGS); do \
	    $(COHORT) --split test --output_dir $(SETS)/test_pathology --n 4 --seed 651000 --pathology $$finding || exit 1; done
	$(COHORT) --split test --output_dir $(SETS)/test_voxels --n 8 --seed 660000 --renderer voxels
	$(COHORT) --split test --output_dir $(SETS)/real --n 8 --seed 670000 --variation none --renderer voxels
	$(if $(CT),$(BIN)/lumbar-ext simulate-ct --ct $(CT) --labels $(LABELS) --output_dir $(SETS)/ct --n 4)
	for command in network first-generation; do $(BIN)/lumbar-ext evaluate-$$command \
	    --output_dir out/$$command-evaluation --sets "{'unseen people': '$(SETS)/test18', 'findings': '$(SETS)/test_pathology', \
	'voxel renderer': '$(SETS)/test_voxels', 'real anatomy': '$(SETS)/real'$(CT_SET)}" \
	    --foreign_sets "{'foreign chain': '$(SETS)/test18'}" || exit 1; done

FOLDER ?=

evaluate-real: install-test  ## how the network does on a FOLDER of your own marked films: tables and a contact sheet
	$(if $(FOLDER),,$(error FOLDER is not set: make evaluate-real FOLDER=films, see the network bundle's README))
	$(BIN)/lumbar-ext evaluate-real $(FOLDER)

LEVEL_SETS := $(SETS)/levels

evaluate-levels: install-test  ## simulate test people, plain and with findings, and count rightly named vertebrae
	$(COHORT) --split test --output_dir $(LEVEL_SETS)/test --n 10 --seed 500000
	$(COHORT) --split test --output_dir $(LEVEL_SETS)/findings --n 16 --seed 650000 --pathology mixed
	for finding in sacralised lumbarised scoliosis; do \
	    $(COHORT) --split test --output_dir $(LEVEL_SETS)/findings --n 4 --seed 651000 --pathology $$finding || exit 1; done
	$(BIN)/lumbar-ext evaluate-levels "{'ten test studies': '$(LEVEL_SETS)/test', 'findings': '$(LEVEL_SETS)/findings'}"

# Validation studies choose the maps, the test studies of evaluate-network check them.
calibrate-network: evaluate-network  ## fit the first generation's confidences on validation studies, check them on the test sets
	$(COHORT) --split validation --output_dir $(SETS)/validation --n 16 --seed 0
	$(COHORT) --split validation --output_dir $(SETS)/validation --n 16 --seed 100000 --pathology mixed
	$(FIRST_GENERATION) --output_dir out/network_validation --sets "{'validation': '$(SETS)/validation'}"
	$(BIN)/lumbar-ext calibrate-network --landmarks out/network_validation/landmarks.csv \
	    --output $(NETWORK)/models/first_generation_confidence.json --source "32 simulated validation studies"
	$(BIN)/lumbar-ext network-reliability --landmarks out/first-generation-evaluation/landmarks.csv \
	    --calibration $(NETWORK)/models/first_generation_confidence.json --set_name "unseen people" --output $(NETWORK)/docs/reliability.png

test: install-test  ## run the whole test suite
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

test-cohort: install-test  ## test cohorts alone: kills, hangs, full disks, lost clusters, and Debian's slurm-wlm (skipped without it)
	$(BIN)/python -m pytest -rs tests/engine tests/batch tests/evaluation/test_evaluated_studies.py

test-pacs: install-test  ## test the way to an archive and back alone, with Debian's orthanc (skipped where it is not installed)
	$(BIN)/python -m pytest -rs tests/pacs tests/report/dicom tests/report/test_validators.py

test-torchrun: install-test  ## test training in two processes alone: one is killed, the same command goes on
	$(BIN)/python -m pytest tests/bundles/test_torchrun.py

# Judges of HTML and glTF, which npm has; tests that need them are skipped where they are not.
.validators/.installed: Makefile
	npm install --prefix .validators --no-audit --no-fund --silent vnu-jar@26.9.27 gltf-validator@2.0.0-dev.3.10
	@touch $@

install-validators: .validators/.installed  ## the checkers of pages and scenes that some tests ask (needs npm and java)

FUZZ_SECONDS ?= 3600
FUZZ_SEED ?= $(shell date +%Y%m%d)000000

fuzz: install-test  ## damage valid files of every reader for an hour (FUZZ_SECONDS) and hold the results to the law
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

KILLS ?= 20

kills: install-test  ## look at what commands leave before each change to the disk, and kill them at KILLS random moments
	$(BIN)/python -W ignore -m tests.fuzz.kills --kills $(KILLS)

walk: install-test  ## run every verb that the documents name, as small as it gets (some minutes)
	$(BIN)/python -W ignore -m tests.walk_documents

lint: install-test  ## check and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the targets made
	rm -rf $(VENV) out build *.egg-info

# MONAI Deploy and MONAI Label exclude each other (pydicom, numpy), so each has an environment of its own.
DEPLOY_VENV ?= .venv-deploy
LABEL_VENV ?= .venv-label
# Bytecode is made where it is imported: most of these packages never is, and compiling takes longer than unpacking.
PIP_OPTIONS := -q --disable-pip-version-check --no-compile
STUDIES ?= studies
PORT ?= 8000

.PHONY: install-deploy test-deploy map install-label test-label load label-server test-all

$(DEPLOY_VENV)/.installed: constraints-deploy.txt pyproject.toml
	$(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/pip install $(PIP_OPTIONS) -c constraints-deploy.txt torch \
	    $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	$(DEPLOY_VENV)/bin/pip install $(PIP_OPTIONS) -c constraints-deploy.txt -e '.[deploy]' pytest
	$(DEPLOY_VENV)/bin/python -c 'import lumbar_ext.deploy; from lumbar_ext.cli.bundle_verbs import warm_up; warm_up()' >/dev/null
	@touch $@

install-deploy: $(DEPLOY_VENV)/.installed  ## create .venv-deploy for the MONAI Deploy application

test-deploy: install-deploy  ## test the MONAI Deploy application
	OMP_NUM_THREADS=1 $(DEPLOY_VENV)/bin/python -m pytest tests/deploy

map: install-deploy  ## make build/map, the folder that becomes a MONAI Application Package
	$(DEPLOY_VENV)/bin/lumbar-ext package-map --output_dir build/map

$(LABEL_VENV)/.installed: constraints-label.txt pyproject.toml
	$(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/pip install $(PIP_OPTIONS) -c constraints-label.txt torch \
	    $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	$(LABEL_VENV)/bin/pip install $(PIP_OPTIONS) -c constraints-label.txt -e '.[label]' pytest
	@# Their own requirements include CUDA builds and an old jsonschema; '.[label]' lists what is really used.
	$(LABEL_VENV)/bin/pip install $(PIP_OPTIONS) -c constraints-label.txt --no-deps monailabel pydicom-seg
	-$(LABEL_VENV)/bin/lumbar-ext warm-up >/dev/null
	@touch $@

install-label: $(LABEL_VENV)/.installed  ## create .venv-label for the MONAI Label server

test-label: install-label  ## test the MONAI Label server
	OMP_NUM_THREADS=1 $(LABEL_VENV)/bin/python -m pytest tests/label

# One environment after the other, as both write lumbar_ext.egg-info; then both test suites at once, a core each.
test-all: test  ## run all tests: the package, then both applications in their own environments
	$(MAKE) --no-print-directory install-deploy install-label
	$(MAKE) --no-print-directory -j2 --output-sync=target test-deploy test-label

CLIENTS ?= 50
LOAD_SECONDS ?= 600

load: install-label  ## CLIENTS at once on a MONAI Label server for LOAD_SECONDS: what is answered, memory, queue, files left
	$(LABEL_VENV)/bin/python -m benchmarks.label_load --clients $(CLIENTS) --seconds $(LOAD_SECONDS)

label-server: install-label  ## serve the radiographs in STUDIES to MONAI Label clients on this machine
	$(LABEL_VENV)/bin/python -m lumbar_ext.label --studies $(STUDIES) --port $(PORT)
