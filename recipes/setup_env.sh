#!/usr/bin/env bash
# Makes the virtual environment that the recipes and the tests run in, or finds it ready (well under a second).
#
#   bash recipes/setup_env.sh
#
# Environment variables, all optional:
#   FAIRSEQ_DISTILL_VENV    where it lies (.venv in the repository); none: nothing is set up
#   FAIRSEQ_DISTILL_PYTHON  which Python makes it, 3.11 or 3.12
#   TORCH_SPEC              what pip is asked for where no torch is found, for instance "torch==2.11.0 --index-url URL"
#
# A torch that is already there, in that Python or in the active environment, is used and never replaced. Two set-ups
# at once wait for each other; one that was killed is mended by the next.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

TORCH_SPEC="${TORCH_SPEC:-torch==2.13.0}"
TORCH_OLDEST=2.6 # the first that loads checkpoints with an allow-list; an older torch found is left alone, not used
FAIRSEQ_SPEC="fairseq-fixed==0.12.3.1"
OWNER="$VENV/.fairseq_distill"    # says that this script made the folder, and where; only then may it make it anew
DEPENDENCIES="$VENV/.dependencies" # stamps, each written last
PROJECT="$VENV/.project"

dependencies_key() {
  { printf '%s\n' "$VENV" "$TORCH_SPEC" "$FAIRSEQ_SPEC"; cat "$REPO"/{requirements.txt,constraints.txt,recipes/setup_env.sh}; } | sha256sum
}

project_key() {
  { printf '%s\n' "$VENV" "$REPO"; cat "$REPO"/{setup.py,pyproject.toml,fairseq_distill/__init__.py}; } | sha256sum
}

is_stamped() { # is_stamped FILE KEY
  [[ -x "$VENV/bin/python" && -f "$1" && "$(<"$1")" == "$2" ]]
}

write_stamp() {
  printf '%s\n' "$2" >"$1.tmp"
  mv -f "$1.tmp" "$1"
}

# --- which Python

probe() { # probe PYTHON: "3.11 2.13.0+cpu", version of Python and of its torch (or "none"); fails where it does not run
  (cd / && "$1" -c '
import importlib.metadata as metadata, sys
try:
    torch = metadata.version("torch")
except metadata.PackageNotFoundError:
    torch = "none"
print("%d.%d" % sys.version_info[:2], torch)') 2>/dev/null
}

usable_torch() { # usable_torch VERSION: not none, and not older than TORCH_OLDEST
  [[ "$1" != none && "$(printf '%s\n' "$TORCH_OLDEST" "$1" | sort -V | head -n 1)" == "$TORCH_OLDEST" ]]
}

choose_python() { # sets PYTHON, PYTHON_VERSION, TORCH: the first candidate that has a torch, else the first that fits
  local candidate found version torch
  local -a candidates=(python3.11 python3.12 python3)
  if [[ -n "${CONDA_PREFIX:-}" ]]; then candidates=("$CONDA_PREFIX/bin/python" "${candidates[@]}"); fi
  if [[ -n "${VIRTUAL_ENV:-}" && "$VIRTUAL_ENV" != "$VENV" ]]; then candidates=("$VIRTUAL_ENV/bin/python" "${candidates[@]}"); fi
  if [[ -n "${FAIRSEQ_DISTILL_PYTHON:-}" ]]; then candidates=("$FAIRSEQ_DISTILL_PYTHON"); fi
  PYTHON=""
  for candidate in "${candidates[@]}"; do
    found="$(probe "$candidate")" || continue
    read -r version torch <<<"$found"
    [[ "$version" == 3.11 || "$version" == 3.12 ]] || continue
    usable_torch "$torch" || torch=none
    if [[ -z "$PYTHON" || ("$TORCH" == none && "$torch" != none) ]]; then
      PYTHON="$(command -v "$candidate")" PYTHON_VERSION="$version" TORCH="$torch"
    fi
  done
  [[ -n "$PYTHON" ]] || die "Python 3.11 or 3.12 is needed, and none of these is one: ${candidates[*]}." \
    "Install it, or name it: FAIRSEQ_DISTILL_PYTHON=/path/to/python3.12 bash recipes/setup_env.sh."
}

# --- what the system must give

apt_install() { # apt_install WHY PACKAGE…: as root from the distribution, else one sentence with the command
  local why="$1" command
  shift
  command="apt-get install -y $*"
  [[ -x "$(command -v apt-get)" ]] || die "$why; install what Debian calls $*, then run this again."
  [[ "$(id -u)" == 0 ]] || die "$why; have root run '$command', then run this again."
  log "$why: $command"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null ||
    die "'$command' failed; see the lines above."
}

require_venv_module() {
  (cd / && "$PYTHON" -c 'import ensurepip, venv') 2>/dev/null ||
    apt_install "$PYTHON has no venv and ensurepip modules" "python$PYTHON_VERSION-venv"
}

require_compiler() { # fairseq is a source package with C++ and Cython extensions
  local -a missing=()
  command -v g++ >/dev/null || missing+=(build-essential)
  "$VENV/bin/python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    missing+=("python$(probe "$VENV/bin/python" | cut -d ' ' -f 1)-dev")
  if ((${#missing[@]})); then apt_install "fairseq is compiled, and the compiler or Python.h is missing" "${missing[@]}"; fi
}

# --- the environment

make_venv() { # an empty one; one that works is kept, one of ours that does not (moved, killed half-way) is made anew
  if [[ -e "$VENV" && ! -d "$VENV" ]]; then die "$VENV is not a folder; move it, or set FAIRSEQ_DISTILL_VENV."; fi
  if [[ -f "$OWNER" && "$(<"$OWNER")" == "$VENV" ]] && has_pip; then return; fi
  if [[ -d "$VENV" && -n "$(ls -A "$VENV")" && ! -f "$OWNER" ]]; then
    has_pip || die "$VENV is there, but it is no working virtual environment; move it, or set FAIRSEQ_DISTILL_VENV."
    [[ "$(probe "$VENV/bin/python")" =~ ^3\.1[12]\  ]] ||
      die "$VENV is a virtual environment of another Python than 3.11 or 3.12; move it, or set FAIRSEQ_DISTILL_VENV."
    return # the user's own
  fi
  choose_python
  require_venv_module
  log "virtual environment: $VENV (Python $PYTHON_VERSION, $PYTHON)"
  rm -rf "$VENV"
  mkdir -p "$VENV"
  printf '%s\n' "$VENV" >"$OWNER"
  local -a site=()
  if [[ "$TORCH" != none ]]; then site=(--system-site-packages); fi
  "$PYTHON" -m venv "${site[@]}" "$VENV" || die "$PYTHON could not make a virtual environment in $VENV."
  if [[ "$TORCH" != none ]]; then share_torch; fi
}

has_pip() {
  "$VENV/bin/python" -m pip --version >/dev/null 2>&1
}

share_torch() { # the torch of an active virtual environment is not among the system's packages: name its folder
  local folder
  if [[ "$(torch_version)" == "$TORCH" ]]; then return; fi
  folder="$(cd / && "$PYTHON" -c 'import importlib.metadata as m; print(m.distribution("torch").locate_file(""))')"
  "$VENV/bin/python" -c 'import sys, sysconfig; open(sysconfig.get_path("purelib") + "/torch_of_the_user.pth", "w").write(sys.argv[1] + "\n")' "$folder"
}

torch_version() { # of the virtual environment; "none" where there is none
  local found
  found="$(probe "$VENV/bin/python")"
  printf '%s\n' "${found#* }"
}

run_pip() { # run_pip install|wheel ARGUMENT…: what it says goes to setup.log, and its last words here when it fails
  (
    cd / # pip would take a folder's name for a package
    "$VENV/bin/python" -m pip "$1" --no-input --disable-pip-version-check --progress-bar off "${@:2}" >>"$VENV/setup.log" 2>&1
  ) || { grep -iE '(^|[^-])error:' "$VENV/setup.log" | tail -n 5 >&2 || true; return 1; }
}

pip_install() { # pip_install ARGUMENT…: the torch that is there stays
  run_pip install --root-user-action=ignore -c "$VENV/torch.txt" -c "$REPO/constraints.txt" "$@" ||
    die "pip could not install ${*##*/}; read $VENV/setup.log, check the network, and run this again."
}

drop_half_installed() { # what a killed pip leaves: a package without its RECORD counts as installed but is not whole
  "$VENV/bin/python" - <<'PYTHON'
import pathlib, shutil, sysconfig
for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
    for path in pathlib.Path(folder).iterdir():
        if path.name.startswith("~") or (path.suffix == ".dist-info" and not (path / "RECORD").is_file()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
PYTHON
}

install_torch() {
  local version
  version="$(torch_version)"
  : >"$VENV/torch.txt"
  if ! usable_torch "$version"; then
    log "installing $TORCH_SPEC"
    # shellcheck disable=SC2086 # several words on purpose
    pip_install $TORCH_SPEC
    version="$(torch_version)"
  else
    log "using torch $version, which is there"
  fi
  printf 'torch==%s\n' "$version" >"$VENV/torch.txt"
}

install_fairseq() { # compiled once for each Python and torch, kept beside pip's own cache
  local wheels build wheel
  mkdir -p "$CACHE/wheels" 2>/dev/null && [[ -w "$CACHE/wheels" ]] || { CACHE="$VENV/.cache"; mkdir -p "$CACHE/wheels"; }
  wheels="$CACHE/wheels/${FAIRSEQ_SPEC/==/-}-$("$VENV/bin/python" -c 'import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform(), sep="-")')-torch$(torch_version)"
  wheel="$(compgen -G "$wheels/*.whl" || true)"
  if [[ -z "$wheel" ]]; then
    require_compiler
    log "compiling $FAIRSEQ_SPEC (a minute or two, once)"
    find "$CACHE/wheels" -maxdepth 1 -name 'build.*' -mmin +120 -exec rm -rf {} + # of set-ups that were killed
    build="$(mktemp -d "$CACHE/wheels/build.XXXXXX")"
    # Not from pip's cache, whose wheels do not tell one torch from another. -O1 and no debug symbols: half of the time goes
    # into three extensions against torch that this project never calls; the ones it calls say -O3 themselves.
    CFLAGS="-O1 -g0 ${CFLAGS:-}" run_pip wheel --no-cache-dir --no-build-isolation --no-deps -w "$build" "$FAIRSEQ_SPEC" ||
      { rm -rf "$build"; die "$FAIRSEQ_SPEC could not be compiled; read $VENV/setup.log."; }
    # A folder under its final name is whole. Another set-up may have been faster: then its wheel is as good.
    mv -T "$build" "$wheels" 2>/dev/null || rm -rf "$build"
    wheel="$(compgen -G "$wheels/*.whl")"
  fi
  # Without its own list of dependencies: that names torchaudio, which does not load beside torch 2.13 and then breaks
  # sentence-transformers; the others are in requirements.txt.
  pip_install --no-deps "$wheel"
  # Beside a user's torch there may be a user's fairseq, whose commands run in another environment.
  if [[ ! -x "$VENV/bin/fairseq-train" ]]; then pip_install --no-deps --force-reinstall "$wheel"; fi
}

check_imports() {
  (cd / && "$VENV/bin/python" -W ignore -c 'import faiss, fairseq, sentence_transformers, sentencepiece, torch' >/dev/null 2>"$VENV/check.log") ||
    die "what was installed does not import: $(tail -n 1 "$VENV/check.log") (all of it: $VENV/check.log)."
}

install_dependencies() { # torch first, or whatever wants one brings gigabytes of CUDA libraries
  make_venv
  drop_half_installed
  rm -f "$DEPENDENCIES" "$VENV/setup.log"
  install_torch
  log "installing the tools that compile fairseq"
  pip_install numpy cython "setuptools<81" wheel
  install_fairseq
  log "installing requirements.txt"
  pip_install -r "$REPO/requirements.txt"
  check_imports
  write_stamp "$DEPENDENCIES" "$(dependencies_key)"
}

install_project() {
  log "installing fairseq_distill from $REPO"
  drop_half_installed
  rm -f "$PROJECT"
  pip_install --no-deps --no-build-isolation -e "$REPO"
  write_stamp "$PROJECT" "$(project_key)"
}

main() {
  if [[ "$VENV" == none ]]; then return; fi # the commands on the PATH are to be used
  if is_stamped "$DEPENDENCIES" "$(dependencies_key)" && is_stamped "$PROJECT" "$(project_key)"; then return; fi
  export PIP_USER=0 # a user's `pip --user` setting has no place in a virtual environment
  mkdir -p "$(dirname "$VENV")" 2>/dev/null && [[ -w "$(dirname "$VENV")" ]] ||
    die "$(dirname "$VENV") may not be written to; set FAIRSEQ_DISTILL_VENV to a folder of your own."
  exec 9>"$VENV.lock"
  flock -n 9 || { log "another set-up of $VENV is running: waiting for it"; flock 9; }
  is_stamped "$DEPENDENCIES" "$(dependencies_key)" || install_dependencies
  is_stamped "$PROJECT" "$(project_key)" || install_project
  log "environment ready after $SECONDS s: $VENV"
}

main
