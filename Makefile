# Two commands are enough: `make demo` and `make test`. Both set up what is missing first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifndef CMAKE_ARGS
CMAKE_ARGS := -DLLAVA_BUILD=OFF $(shell sh models/engine/cmake_flags.sh)
endif
export CMAKE_ARGS
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo demo-zh test check format wheel clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## Set up, fetch the model, and show everything on MovieLens-100K
	$(BIN)/tanqu demo

demo-zh: $(VENV)/installed ## The same in Chinese: a shop, a video site, news and a social feed
	$(BIN)/tanqu --lang zh demo

test: $(VENV)/developed ## Set up, fetch the small test model, and run the tests
	$(BIN)/tanqu models fetch smollm2-135m
	$(BIN)/pytest

check: $(VENV)/developed ## Lint, types, and a wheel installed in an environment of its own
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) wheel

format: $(VENV)/developed ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/developed ## Build the wheel and try it in a fresh environment
	sh tests/try_wheel.sh $(BIN)/python

$(VENV)/bin/python:
	@echo "making a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'setuptools>=77'

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing Tanqu; llama.cpp is compiled for this machine, which takes some minutes the first time"
	$(BIN)/python -m pip install --progress-bar on -e .
	mkdir -p .types && ln -sfn .. .types/tanqu
	touch $@

$(VENV)/developed: $(VENV)/installed
	@echo "installing what the tests need"
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

clean: ## Remove everything that was made here (not the fetched models)
	rm -rf $(VENV) .types build dist *.egg-info demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
