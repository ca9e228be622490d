# Everything is made inside this folder: .venv (libraries), .cache (Debian's registry, unpacked), var (data).
PYTHON ?= python3
PIP := .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo demo-push run test soak bench lint clean

help:
	@echo "make demo       the console with two registries and sample content, to try it"
	@echo "make demo-push  pushes one more image to the demo's first registry (from another terminal)"
	@echo "make run        the console"
	@echo "make test       installs what tests need where it may, then lint, types and all tests"
	@echo "make soak       kills whatever can be killed while tasks run, then while pushes come (SEED=..., KILLS=100 for each"
	@echo "                database, AWAY_SECONDS=600); an hour"
	@echo "make bench      how fast it copies, beside skopeo (OPTIONS=--help tells the options); 30 minutes"
	@echo "make lint       style and types only"
	@echo "make clean      removes what can be made again; data in var/ stays"

demo: .venv/installed
	@exec .venv/bin/python -m demo

demo-push: .venv/installed
	@exec .venv/bin/python -m demo push

run: .venv/installed
	@exec .venv/bin/python -m tcrconsole.launch

test: .venv/installed-dev
	@.venv/bin/python -m tests.parts
	@exec .venv/bin/python -m tests.run

soak: .venv/installed-dev
	@.venv/bin/python -m tests.parts
	@.venv/bin/python -m tests.soak
	@exec .venv/bin/python -m tests.soak.pushes

bench: .venv/installed-dev
	@.venv/bin/python -m tests.parts
	@exec .venv/bin/python -m tests.bench $(OPTIONS)

lint: .venv/installed-dev
	@exec .venv/bin/python -m tests.run lint

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	@echo "Making a virtual environment in .venv ..."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python lacks its venv module: apt install python3-venv"; exit 1; }

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing the libraries of requirements.txt into .venv (this happens once) ..."
	@$(PIP) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "Installing what tests and checks need into .venv (this happens once) ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@
