# make demo   install, build, run the demonstration study, print D with errors
# make test   lint and all tests but the slow ones
# make test-all   lint and all tests; a run that was interrupted or failed goes on where it was
# make models   train {NequIP, MACE, DP} x {PBE, HSE06}, two seeds of each: hours; goes on where it was; -j 2: two at a time
# make test-slurm   tests on a Slurm of their own: root, apt install slurm-wlm munge
#
# The virtual environment and the build folder are kept: a second call does only what is new.
# For a CPU-only torch see README, "Installing".

# A make older than 3.82 would ignore .SHELLFLAGS, and take a failed training for a made model.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error lpsmd: found make $(MAKE_VERSION), needed GNU Make 3.82 or newer)
endif
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := $(shell find cpp cmake lammps_inputs python -type f -not -path '*/__pycache__/*') CMakeLists.txt pyproject.toml

# {nequip, mace, deepmd} x {PBE, HSE06} x two seeds: MODELS/ARCHITECTURE_FUNCTIONAL_SEED.pt.
MODELS := lpsmd_models
DATA := data/li6ps5cl_dft
PBE_MODELS := $(foreach seed,1 2,$(foreach architecture,nequip mace deepmd,$(MODELS)/$(architecture)_pbe_$(seed).pt))
HSE06_MODELS := $(subst _pbe_,_hse06_,$(PBE_MODELS))

.PHONY: help build demo test test-all test-slurm benchmark models lint format clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

build: $(VENV)/built

# torch goes first and alone: its CPU build is chosen by what the index or PIP_FIND_LINKS offers.
$(VENV)/installed: pyproject.toml
	@echo "lpsmd: installing the environment in $(VENV) (some minutes the first time)"
	@$(PYTHON) -c "import pathlib, sysconfig, sys; h = pathlib.Path(sysconfig.get_path('include'), 'Python.h'); \
		h.is_file() or sys.exit(f'lpsmd: {h} is missing: install the Python headers (Debian: apt install python3-dev)')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade 'pip>=25.1'
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q --group build --group test --group lint
	$(BIN)/pip install -q $$($(BIN)/python cmake/runtime_dependencies.py)
	@touch $@

$(VENV)/built: $(VENV)/installed $(SOURCES)
	@echo "lpsmd: building (a minute or two the first time)"
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install -q --no-build-isolation --no-deps --force-reinstall \
		--config-settings=cmake.define.LPSMD_WERROR=ON .
	@touch $@

demo: build
	$(BIN)/lpsmd run demo --output lpsmd_demo

test: build lint
	$(BIN)/pytest -m "not slow"

test-all: build lint
	$(BIN)/pytest --resume

test-slurm: build
	$(BIN)/pytest tests/slurm -rs

models: $(PBE_MODELS) $(HSE06_MODELS)
	$(BIN)/lpsmd model table $^ --out $(MODELS)/errors.csv

# What a training says is kept beside the model. To train one again, delete its file.
of_name = $(subst _, ,$*)
train = $(BIN)/lpsmd train $(word 1,$(of_name)) --functional $(1) --seed $(word 3,$(of_name)) --data $(DATA) \
	--pretraining sevennet --workdir $(MODELS)/work -o $@ 2>&1 | tee -ai $(@:.pt=.log)

$(PBE_MODELS): $(MODELS)/%.pt: $(DATA)/pbe.extxyz | build
	@mkdir -p $(@D)
	$(call train,PBE)

# Starts from the weights of the PBE model, which are there by then.
$(HSE06_MODELS): $(MODELS)/%.pt: $(DATA)/hse06.extxyz | build
	@mkdir -p $(@D)
	$(call train,HSE06)
$(foreach model,$(HSE06_MODELS),$(eval $(model): $(subst _hse06_,_pbe_,$(model))))

benchmark: build
	$(BIN)/pytest tests/benchmarks --benchmark-only

lint: $(VENV)/installed
	$(BIN)/ruff check python tests cmake
	$(BIN)/ruff format --check python tests cmake
	$(BIN)/mypy
	find cpp -name '*.h' -o -name '*.cpp' | xargs $(BIN)/clang-format --dry-run -Werror

format: $(VENV)/installed
	$(BIN)/ruff check --fix python tests cmake
	$(BIN)/ruff format python tests cmake
	find cpp -name '*.h' -o -name '*.cpp' | xargs $(BIN)/clang-format -i

clean:
	rm -rf build lpsmd_demo $(VENV)/built
