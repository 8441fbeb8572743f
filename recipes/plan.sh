#!/usr/bin/env bash
# Proposes families, pivots, vocabularies, sampling and curriculum for your languages, and writes a recipe folder for each.
#
#   bash recipes/plan.sh --counts COUNTS.tsv --output DIR       # lines: code, pairs, monolingual lines; separated by tabs
#   DATA_ROOT=DIR bash recipes/plan.sh --output DIR [--langs swa,kik]     # counts what is there
#
# Each proposal has its reasons, one a line. Then: bash DIR/FAMILY/run.sh --dry-run, and without --dry-run to train.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  show_help
  exit 0
fi
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
root=()
if [[ -n "${DATA_ROOT:-}" ]]; then root=(--root "$DATA_ROOT"); fi
teachers="${TEACHER_LANGS:-eng}"
exec python "$REPO/recipes/plan_families.py" "${root[@]}" --teacher-langs "${teachers// /,}" "$@"
