#!/usr/bin/env bash
# Stage 4: pieces -> fairseq's .bin and .idx; the only caller of fairseq-preprocess.
#
#   bash data_prep/binarise.sh --data DIR [--workers N]
#
# One process for all corpora that have changed (it takes seconds to start). They are given as validation sets, of
# which fairseq-preprocess takes any number, and get their names when all of them are found whole.
# shellcheck source=../recipes/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common.sh"

SMALL=100000 # lines that one process binarises in less time than others take to start

DATA="" WORKERS=0
while (($#)); do
  case "$1" in
    --data) DATA="${2-}" ;;
    --workers) WORKERS="${2-}" ;;
    *) die "unknown option $1; usage: bash data_prep/binarise.sh --data DIR [--workers N]" ;;
  esac
  shift 2 || die "the option $1 needs a value."
done
[[ -n "$DATA" ]] || die "--data DIR is needed."
rm -rf "${DATA:?}/bin.tmp" # of a run that was killed; also where all corpora had been adopted by then
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

listing="$(python "$REPO/data_prep/binarised.py" --data "$DATA")" || exit 1
[[ -n "$listing" ]] || exit 0
mapfile -t names <<<"$listing"

cd "$DATA"
lines="$(cat "${names[@]/#/pieces/}" | wc -l)"
if ((WORKERS == 0)); then
  WORKERS=1
  if ((lines > SMALL)); then WORKERS="$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)"; fi
fi
log "binarise | ${#names[@]} corpora, $lines lines, $WORKERS processes"
prefixes="$(IFS=,; printf '%s' "${names[*]/#/pieces/}")"
mkdir -p logs
fairseq-preprocess --only-source --srcdict dict.txt --validpref "$prefixes" --destdir bin.tmp \
  --dataset-impl mmap --workers "$WORKERS" >logs/fairseq-preprocess.log 2>&1 ||
  die "fairseq-preprocess failed: $(tail -n 1 logs/fairseq-preprocess.log) (all of it: $DATA/logs/fairseq-preprocess.log)."
python "$REPO/data_prep/binarised.py" --data . --adopt bin.tmp "${names[@]}"
rm -rf bin.tmp
