#!/usr/bin/env bash
# Runs the families' recipes: one after the other here, or a SLURM job each; prints a table of what came out.
#
#   bash recipes/all.sh [--local | --slurm] [--only FAMILY…] [--work DIR] [--sbatch "--partition=gpu --gres=gpu:1"] \
#        [--dry-run] [-- any option of a family's run.sh]
#
# DIR/FAMILY is each family's work directory, DIR/FAMILY.log what it said. DATA_ROOT, TEACHER_LANGS and LICENCES go to each family.
# A family that fails stops no other; the exit code is then 1. Run again, each goes on where it stopped.
# With --slurm, DIR and the corpora must be visible on the machines. --summary: only the table, from what is there.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  show_help
  exit 0
fi
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
exec python "$REPO/recipes/run_families.py" "$@"
