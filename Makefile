# Everything runs in .venv, which the first command makes; later ones find it ready and need no network.
#   make test PYTHON=python3.12 VENV=.venv-3.12    another Python, beside the first
#   make EXTRAS=train test                          with PyTorch, and the tests of fine-tuning

COMMA := ,
SPACE := $() $()
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?=
OTHERS := $(patsubst %,$(COMMA)%,$(filter-out train,$(subst $(COMMA), ,$(EXTRAS))))
READY := $(VENV)/ready$(if $(EXTRAS),-$(subst $(COMMA),-,$(EXTRAS)))
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := torch==2.13.0
LAVA := lava-nc==0.10.0
PYTHONS ?= python3.10 python3.11 python3.12 python3.13 python3.14
MODELS := ../shared/models
N ?= 2000
MINUTES ?= 10
SAMPLE ?= 10%
SEED ?= 0
ONLY ?=
JOBS ?= 2
# One thread per process: the arithmetic is the same with any number, the timings and the load are not. Byte code is kept, or
# each of the hundreds of processes of the tests compiles all sources.
RUN := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/

.DELETE_ON_ERROR:
.PHONY: help anchors setup demo test test-extended test-all coverage differential fuzz lock docs cli-page lint types format reproduce bench bench-accuracy zoo mutation mutants operators records exchange installation build release-check clean

help: ## list these targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv and install the package, its tools and Lava into it (EXTRAS=train adds PyTorch)

# Lava's metadata refuses Python 3.11 and 3.12, where it works once imported through snn_deploy_lava: there it is installed
# without its own requirements, which are the pins of the extra "lava". PyTorch comes only where it comes without CUDA.
$(READY): pyproject.toml constraints.txt $(wildcard backends/snn_deploy_cpu/kernels/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than Python 3.10; name a later one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	  echo "Lava needs Python 3.10, 3.11 or 3.12: everything else is installed for $$($(PYTHON) --version)"
	@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version) (once, about a minute)"; \
	  $(PYTHON) -m venv --upgrade-deps $(VENV); }
	@$(PIP) install --quiet -c constraints.txt hatchling editables $$(command -v cc gcc clang >/dev/null || echo ziglang)
	@echo "installing snn-deploy and its tools into $(VENV)"
	@$(PIP) install --quiet --no-build-isolation -c constraints.txt -e ".[dev,lava$(subst $(SPACE),,$(OTHERS))]"
ifneq (,$(filter train,$(subst $(COMMA), ,$(EXTRAS))))
	@if ! $(PIP) install --dry-run --quiet --report $(VENV)/torch.json $(TORCH) 2>/dev/null; then \
	  echo "no $(TORCH) for this Python: training and fine-tuning stay out"; \
	elif grep -q -i -E '"name": "(nvidia|cuda|triton)' $(VENV)/torch.json; then \
	  echo "$(TORCH) would bring CUDA here: install a build of your choice into $(VENV) for training and fine-tuning"; \
	else $(PIP) install --quiet --no-build-isolation -c constraints.txt -e ".[train]" $(TORCH); fi
endif
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 13))' || $(PIP) install --quiet --no-deps --ignore-requires-python $(LAVA)
	@touch $@

demo: $(READY) ## denoise a photograph with float net, reference, cpu and Lava; compare every spike; pictures in out/demo
	@$(RUN)snn-deploy demo

test: $(READY) ## run the tests (ARGS="tests/core -k ladder" for some)
	@$(RUN)python -m pytest -n 2 --dist worksteal $(ARGS)

test-extended: $(READY) ## run the tests that repeat on more networks, instruction sets and pages what `make test` looks for
	@$(RUN)python -m pytest -n 2 --dist worksteal -m extended $(ARGS)

test-all: $(READY) ## run all tests, the slow ones too (tutorial, examples, every net in Lava, every instruction set)
	@$(RUN)python -m pytest -n 2 --dist worksteal -m '' $(ARGS)

differential: $(READY) ## compare all engines on N networks of each kind, other ones each time (N=2000)
	@SNN_DEPLOY_EXAMPLES=$(N) $(RUN)python -m pytest -n 2 tests/differential

fuzz: $(READY) ## read changed files of every format for MINUTES=10, other ones each time; what is found goes to build/fuzz
	@SNN_DEPLOY_FUZZ_MINUTES=$(MINUTES) $(RUN)python -m pytest -q -s tests/fuzzing $(ARGS)

coverage: $(READY) ## run the tests and report the lines and branches that none of them reaches (pages in build/coverage)
	@mkdir -p build/coverage
	@$(RUN)python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-report=html:build/coverage $(ARGS)

mutants: $(READY) ## break our own source, see whether tests notice (SAMPLE=10%|N per module|all SEED=0 ONLY="bounds plan" JOBS=2)
	@$(PIP) install --quiet -c constraints.txt -e ".[mutants]"
	@$(RUN)python tests/mutants/mutate.py --sample $(SAMPLE) --seed $(SEED) --jobs $(JOBS) $(if $(ONLY),--only $(ONLY))

docs: $(READY) ## build the documentation in build/site (installs the extra "docs"; a reference that leads nowhere fails)
	@$(PIP) install --quiet -c constraints.txt -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

cli-page: $(READY) ## write docs/reference/cli.md and docs/reference/json.md again
	@$(RUN)python docs/generate/cli.py > docs/reference/cli.md.new && mv docs/reference/cli.md.new docs/reference/cli.md
	@$(RUN)python docs/generate/json_results.py > docs/reference/json.md.new && mv docs/reference/json.md.new docs/reference/json.md

# uv writes hashes for every supported Python at once; pip cannot, and pip ignores hashes in constraints.txt.
lock: $(READY) ## write requirements.lock and requirements-lava.lock again from constraints.txt (needs uv)
	@printf 'hatchling\nziglang\n' | uv pip compile pyproject.toml - --extra cpu --extra report --extra lava -c constraints.txt --generate-hashes \
	  --universal --python-version 3.10 --no-header --no-annotate --quiet --output-file build/requirements.lock
	@sed "s/ and implementation_name == 'cpython'//; s/ and sys_platform == 'linux'//; s/python_full_version < '3.13' and //; \
	  s/ ; python_full_version < '3.13'//; s/ and python_full_version < '3.13'//" build/requirements.lock > requirements.lock
	@sed -n '/^lava-nc==/,/^[a-z]/{/^lava-nc==/{s/ ;.*/ \\/;p};/^ /p}' requirements.lock > requirements-lava.lock

lint: $(READY) ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## check types (mypy --strict)
	@$(BIN)/mypy

format: $(READY) ## rewrite the code in the common style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

reproduce: $(READY) ## measure everything in docs/reference/results.md again (hours; what was measured before is kept)
	@$(RUN)python tests/benchmarks/results.py

bench-accuracy: $(READY) ## PSNR on Set12: float, exact, rate with connection-wise and layer-wise normalization
	@$(RUN)python tests/benchmarks/accuracy.py

zoo: $(READY) ## import every model of a folder and compare its spikes (MODELS=folder)
	@$(RUN)python tests/benchmarks/zoo.py $(MODELS)

mutation: $(READY) ## write the mutation tables of docs/reference/verification.md again
	@mkdir -p out/mutation
	@$(RUN)snn-deploy convert models/denoiser_s25.onnx --noise 25 --size 16x16 --out out/mutation/denoiser.snn
	@$(RUN)snn-deploy convert models/denoiser_s25.onnx --preset spiking-unet --noise 25 --size 8x8 --steps 8 \
	  --out out/mutation/denoiser_rate.snn
	@$(RUN)snn-deploy convert models/segmenter_isbi.onnx --size 16x16 --out out/mutation/segmenter.snn
	@$(RUN)python docs/generate/mutation_tables.py docs/reference/verification.md \
	  out/mutation/denoiser.snn out/mutation/denoiser_rate.snn out/mutation/segmenter.snn

anchors: $(READY) ## predict the published figures of chips; writes the table of docs/how-to/energy-and-time.md again
	@$(RUN)python docs/generate/anchors.py

operators: $(READY) ## write docs/reference/operators.md again
	@$(RUN)python docs/generate/operators.py > docs/reference/operators.md

records: $(READY) ## compare with every public record of a chip and of lava-dl (../shared)
	@$(RUN)python -m pytest -q tests/exchange/test_records.py tests/verification/test_golden.py

# Each in a folder of its own, which comes before .venv; PyTorch is that of EXTRAS=train. Their licences are their own.
exchange: $(READY) ## install other tools that read NIR, and compare their spikes with ours (EXTRAS=train; Spyx brings JAX, 0.5 GB)
	@for tool in norse==1.1.0 sinabs==3.1.3 snntorch==1.0.0 spikingjelly==2.0.0; do \
	  folder=build/exchange/$${tool%%==*}; test -d $$folder || { echo "installing $$tool into $$folder"; \
	  $(PIP) install --quiet --no-deps --target $$folder $$tool nirtorch==2.6 pbr==7.1.3 loguru==0.7.3; } || exit 1; done
	@test -d build/exchange/spyx || { echo "installing spyx==1.0.0 into build/exchange/spyx"; \
	  $(PIP) install --quiet --target build/exchange/spyx spyx==1.0.0; }
	@$(RUN)python -m pytest -q -m slow tests/exchange/test_readers.py $(ARGS)

bench: $(READY) ## time the cpu backend, Lava and the float peers again (an hour; out/performance.md, a line of docs/reference/performance.jsonl)
	@$(RUN)python tests/benchmarks --peers $(VENV)-peers --write out/performance.md --record docs/reference/performance.jsonl

installation: $(READY) ## install wheel and sdist into clean environments of every Python (PYTHONS="python3.11 /opt/python3.12")
	@SNN_DEPLOY_PYTHONS="$(PYTHONS)" $(RUN)python -m pytest -m slow tests/test_installation.py

build: $(READY) ## wheel and sdist in dist/
	@rm -f backends/snn_deploy_cpu/kernels/*.so
	@$(BIN)/python -m build --no-isolation --outdir dist

release-check: $(READY) ## say whether this version can be released: its notes, its metadata, and the wheel in clean environments (PYTHONS=...)
	@$(PIP) install --quiet -c constraints.txt twine
	@version=$$($(RUN)python -c 'import snn_deploy; print(snn_deploy.__version__)'); \
	  grep -q "^## $$version$$" CHANGELOG.md || { echo "CHANGELOG.md has no notes for $$version: name its part of Unreleased so" >&2; exit 1; }; \
	  ! sed -n '/^## Unreleased/,/^## [0-9]/p' CHANGELOG.md | grep -q '^\*' || \
	  { echo "CHANGELOG.md: changes under Unreleased are not part of $$version: raise __version__ and give them its heading" >&2; exit 1; }
	@rm -rf dist
	@$(MAKE) --no-print-directory build
	@$(BIN)/twine check --strict dist/*
	@SNN_DEPLOY_PYTHONS="$(PYTHONS)" $(RUN)python -m pytest -m slow tests/test_installation.py

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) backends/snn_deploy_cpu/kernels/*.so build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
