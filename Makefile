# make demo   install what it needs, then edit two photos and write the picture
# make editor   the same, then serve the web editor to this machine's browser
# make test   set up, then run the tests
# make docs   build the documentation site, strictly
# make wheel   a source archive and a wheel for every Python into dist/
# make wheel-check   install both into fresh environments of every Python on PATH, and edit with them
# make bench  set up, then measure everything on this machine (more than an hour on two cores) and write README's tables
# make gpu-check   on a machine with a GPU: build, test, sanitize and time the CUDA kernels, without network
# make gpu-rehearsal   the same script to its end without a GPU, in a bare copy and a fresh environment (5 GB, 20 minutes)
# make lint   ruff, mypy, clang-format, layering, workflow files, CUDA compilation where nvcc exists

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LIGHT := $(VENV)/.demo-installed
EDITOR := $(VENV)/.editor-installed
# The demo and the editor need no CUDA library where there is no GPU: minutes of compiling.
FOR_USE := STYLEMAP_CUDA=$(or $(STYLEMAP_CUDA),$(shell command -v nvidia-smi > /dev/null && echo auto || echo 0))
# An older Python would fail later, on packages that do not exist for it. pip is what an interrupted venv lacks.
ENOUGH := import sys; sys.version_info >= (3, 10) or sys.exit("stylemap needs Python 3.10 or newer, and %s is %d.%d: name \
another, as in make demo PYTHON=python3.12" % ((sys.executable,) + sys.version_info[:2]))
ENVIRONMENT = test -x $(BIN)/pip || { $(PYTHON) -c '$(ENOUGH)' || exit 1; $(PYTHON) -m venv $(VENV) || exit 1; }
# Arguments of every pip install, such as --index-url for another build of torch.
PIP_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo editor test docs wheel wheel-check bench gpu-check gpu-rehearsal lint native format clean

demo: $(LIGHT)
	@$(FOR_USE) $(BIN)/python -m stylemap._build
	$(BIN)/python -m stylemap.cli.demo

editor: $(EDITOR)
	@$(FOR_USE) $(BIN)/python -m stylemap._build
	$(BIN)/stylemap edit-server --open $(EDITOR_ARGS)

test: native
	tests/install_chromium.sh
	tests/install_typescript.sh
	tests/install_aarch64.sh
	$(BIN)/python -m pytest

docs: native
	$(BIN)/mkdocs build --strict
	@echo "open build/site/index.html"

# The wheel is built from the source archive, so that it holds what that compiles and nothing that lies here. The
# library is linked to torch's, which the wheel does not bring along. auditwheel looks for patchelf on PATH.
wheel: native
	rm -rf build/wheel dist
	mkdir -p build/wheel
	git describe --always --dirty > build/wheel/commit
	$(BIN)/python -m build --sdist --outdir dist .
	STYLEMAP_CUDA=$(or $(STYLEMAP_CUDA),0) $(BIN)/pip wheel -q --no-deps --no-build-isolation -w build/wheel dist/*.tar.gz
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --exclude 'libtorch*' --exclude 'libc10*' -w dist build/wheel/*.whl

wheel-check:
	$(PYTHON) tests/wheel_install.py $(WHEEL_CHECK_ARGS)

bench: native
	$(BIN)/stylemap bench --output benchmarks/results
	$(BIN)/stylemap bench readme

# With the machine's own python3: the torch there is a CUDA build.
gpu-check:
	$(PYTHON) -m stylemap.benchmarks.gpu $(GPU_CHECK_ARGS)

gpu-rehearsal:
	$(PYTHON) -m stylemap.benchmarks.gpu.rehearsal $(GPU_REHEARSAL_ARGS)

lint: native
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	tests/lint_workflows.sh
	git ls-files 'csrc/**.h' 'csrc/**.cpp' 'csrc/**.cu' 'csrc/**.cuh' | xargs -r $(BIN)/clang-format --dry-run -Werror
	$(BIN)/python tests/lint_native.py

format: native
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files 'csrc/**.h' 'csrc/**.cpp' 'csrc/**.cu' 'csrc/**.cuh' | xargs -r $(BIN)/clang-format -i

native: $(STAMP)
	@$(BIN)/python -m stylemap._build

# What the demo needs and nothing else; torch first, so that the installation finds it and compiles against it.
$(LIGHT): pyproject.toml setup.py constraints.txt
	@if test ! -e $(STAMP); then \
	  echo "installing torch, numpy, pillow, safetensors, tqdm and ninja into $(VENV): a download of some 230 MB with" \
	    "a CPU build of torch, of 3.0 GB with CUDA's libraries"; \
	  set -e; \
	  $(ENVIRONMENT); \
	  $(BIN)/pip install -q $(PIP_ARGS) -c constraints.txt torch numpy; \
	  $(FOR_USE) $(BIN)/pip install -q $(PIP_ARGS) -c constraints.txt -e .; \
	fi
	@touch $@

$(EDITOR): $(LIGHT)
	@test -e $(STAMP) || $(FOR_USE) $(BIN)/pip install -q $(PIP_ARGS) -c constraints.txt -e '.[editor]'
	@touch $@

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(ENVIRONMENT)
	$(BIN)/pip install -q $(PIP_ARGS) -c constraints.txt torch numpy
	$(BIN)/pip install -q $(PIP_ARGS) -c constraints.txt -e '.[all,dev]'
	touch $@

clean:
	rm -rf build dist $(VENV) stylemap/lib .demo
