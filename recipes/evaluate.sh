#!/usr/bin/env bash
# Judge encoders on evaluation sets: leakage audit, xsim, n-way xsim, xsim++, BUCC, in one table.
#
#   bash recipes/evaluate.sh --work DIR --encoder [NAME=]KIND:PATH [--encoder …] [--teacher KIND:PATH] \
#        --set [NAME=]PATH [--set …] [--tgt eng] [--langs swh_Latn,…] [--baseline NAME] [--nway] \
#        [--augmented [SET=]FILE] [--bucc fra-eng=PREFIX] [--train FILE …]
#
# Leaves evaluation.json, .txt, .csv, .tex and .html in DIR. Run again after a stop, it goes on with the vectors that are
# there. docs/evaluation.md explains the numbers; --help of recipes/evaluate_sets.py lists all options.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  -h | --help)
    show_help
    exit 0
    ;;
esac
work="$(option_value work "$@")"
[[ -n "$work" ]] || die "--work DIR is needed; see --help."
mkdir -p "$work" || die "$work cannot be made."
exec 7>"$work/.lock"
flock -n 7 || { log "another run is at work in $work: waiting for it"; flock 7; }
use_environment
PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}" python "$REPO/recipes/evaluate_sets.py" "$@"
