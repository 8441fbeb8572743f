#!/usr/bin/env bash
# The paper's claims again: makes the runs that a claim needs and writes the table of all runs that are there.
#
#   bash recipes/ablation/run.sh --claim a --data-root DIR [--groups ethiopic,lakes,swahili] [--seeds 1,2,3] [--jobs 2]
#   bash recipes/ablation/run.sh --claim all --data-root DIR --jobs 2      all of them; can be stopped and run again
#   bash recipes/ablation/run.sh --help                                    further options
#
# Results: docs/ablation.jsonl (a line a run) and docs/ablation.md (the table). README.md here says what is compared.
# shellcheck source=../common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

code=0
python "$REPO/recipes/ablation/make_runs.py" "$@" || code=$?
results="" table=""
for argument in "$@"; do # the table goes beside the results
  case "$argument" in -h | --help | --version | --dry-run) exit "$code" ;; esac
done
while (($#)); do
  case "$1" in
    --results=*) results="${1#*=}" ;;
    --results) results="${2:-}" ;;
  esac
  shift
done
results="${results:-$REPO/docs/ablation.jsonl}"
table="${results%.jsonl}.md"
if [[ -s "$results" ]]; then python "$REPO/recipes/ablation/write_table.py" --quiet --results "$results" --output "$table"; fi
exit "$code"
