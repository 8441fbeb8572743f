#!/usr/bin/env bash
# Sets up the environment, checks style, types and shell scripts, then runs the tests.
#
#   bash tests/run.sh [PYTEST OPTION OR TEST …]
#
#   bash tests/run.sh -m "not slow"                 without the slow tests
#   bash tests/run.sh -m long                       those that take minutes, which are left out otherwise
#   bash tests/run.sh tests/unit/test_text.py       one file
#   bash tests/run.sh -k margin -x                  tests by name, stopping at the first that fails
# shellcheck source=../recipes/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common.sh"

check_sources() {
  log "ruff"
  local -a sources=(fairseq_distill data_prep recipes benchmarks tests setup.py)
  python -m ruff check --quiet "${sources[@]}" || die "ruff found the lines above; 'ruff check --fix' mends some."
  python -m ruff format --check --quiet "${sources[@]}" || die "Some files are not laid out as 'ruff format' does it; it names and mends them."
  log "mypy"
  # Without its cache, which has once hidden an error that a fresh clone shows.
  python -m mypy --no-error-summary --cache-dir=/dev/null || die "mypy found the lines above."
  log "shell scripts"
  local script
  local -a scripts
  mapfile -t scripts < <(find . \( -path './.venv*' -o -path ./.git \) -prune -o \( -name '*.sh' -o -path ./.ci/run \) -print | sort)
  for script in "${scripts[@]}"; do bash -n "$script"; done
  if command -v shellcheck >/dev/null; then
    # SC2164 wants `cd … || exit`: it does not see that common.sh makes every script stop at an error.
    shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning --exclude=SC2164 "${scripts[@]}" ||
      die "shellcheck found the lines above."
  fi
}

choose_tests() { # sets CHOSEN: the options and tests of the command line, and all folders where it names no test
  local argument path folder named=no before=""
  CHOSEN=()
  for argument in "$@"; do
    path="${argument%%::*}"
    if [[ "$argument" != -* && ! "$before" =~ ^-[kmnpo]$ ]]; then
      if [[ "$argument" != /* && -e "$CALLED_FROM/$path" ]]; then argument="$CALLED_FROM/$argument"; fi
      if [[ -e "${argument%%::*}" ]]; then named=yes; fi
    fi
    CHOSEN+=("$argument")
    before="$argument"
  done
  if [[ "$named" == yes ]]; then return; fi
  if [[ " $* " != *" -m"* ]]; then CHOSEN+=(-m "not long"); fi
  # All of them: a process for each core, each with one thread, a file's tests together for what they share; those that
  # take the longest first, so that all processes end at about the same time.
  if (($(nproc) > 1)); then
    export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
    CHOSEN+=(-n "$(env -u OMP_NUM_THREADS nproc)" --dist loadfile --no-loadscope-reorder)
  fi
  for folder in end_to_end plugin data_prep faults unit; do
    if [[ -n "$(find "tests/$folder" -name 'test_*.py' -print -quit)" ]]; then CHOSEN+=("tests/$folder"); fi
  done
}

CALLED_FROM="$PWD"
cd "$REPO"
use_environment
check_sources
choose_tests "$@"
log "pytest ${CHOSEN[*]}"
exec python -m pytest "${CHOSEN[@]}"
