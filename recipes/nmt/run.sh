#!/usr/bin/env bash
# Is mined bitext worth anything? The same translation system trained without and with it, judged on one test set.
#
#   bash recipes/nmt/run.sh --work DIR --pair swa-eng --bitext PREFIX --mined mined.tsv [--threshold T] \
#        --valid PREFIX --test PREFIX [--system NAME=PREFIX …] [--hidden FILE …] [--mono FILE …] \
#        [--size small|paper|FILE] [--jobs 1] [--seed 1] [-- any option of fairseq-train]
#
# PREFIX stands for PREFIX.swa and PREFIX.eng. Systems: "bitext" alone, "mined" (bitext and the mined pairs above T), and
# one more for each --system (bitext and that PREFIX: the true pairs where they are known, another way of mining).
# --valid chooses the checkpoint, --test judges; no line of either stays in any training text. --hidden names files of
# lines that were hidden to calibrate and must not come back as mined; --mono further text for the vocabulary, which all
# systems share; --jobs how many systems to train at once. Goes on where it stopped when run again. Leaves
# DIR/results.json, DIR/translations/, DIR/text/*.counts.json, and prints the table.
# shellcheck source=../common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
HERE="$REPO/recipes/nmt"

WORK="" PAIR="" BITEXT="" MINED="" THRESHOLD="" VALID="" TEST="" SIZE=small SEED=1 JOBS=1
systems=() extra=() hidden=() mono=()
called="$(printf ' %q' "$@")"
while (($#)); do
  case "$1" in
    -h | --help)
      show_help
      exit 0
      ;;
    --)
      shift
      extra=("$@")
      break
      ;;
    --*=*)
      option="${1%%=*}" value="${1#*=}"
      shift
      set -- "$option" "$value" "$@"
      continue
      ;;
    --work | --pair | --bitext | --mined | --threshold | --valid | --test | --system | --hidden | --mono | --size | --jobs | --seed)
      (($# > 1)) || die "$1 needs a value; see --help."
      case "$1" in
        --work) WORK="$2" ;;
        --pair) PAIR="$2" ;;
        --bitext) BITEXT="$2" ;;
        --mined) MINED="$2" ;;
        --threshold) THRESHOLD="$2" ;;
        --valid) VALID="$2" ;;
        --test) TEST="$2" ;;
        --system) systems+=("$2") ;;
        --hidden) hidden+=(--hidden "$2") ;;
        --mono) mono+=("$2") ;;
        --size) SIZE="$2" ;;
        --jobs) JOBS="$2" ;;
        --seed) SEED="$2" ;;
      esac
      shift 2
      ;;
    *) die "unknown option $1; options of fairseq-train come after --; see --help." ;;
  esac
done
for needed in WORK PAIR BITEXT VALID TEST; do
  [[ -n "${!needed}" ]] || die "--${needed,,} is needed; see --help."
done
[[ "$PAIR" =~ ^[A-Za-z_]+-[A-Za-z_]+$ ]] || die "--pair $PAIR is not of the form swa-eng."
[[ -n "$MINED" || ${#systems[@]} -gt 0 ]] || die "there is nothing to compare with: give --mined FILE or --system NAME=PREFIX."
[[ "$VALID" != "$TEST" ]] || die "--valid and --test are the same set; the checkpoint must not be chosen on the test set."
is_number "$SEED" || die "--seed $SEED is not a whole number."
is_number "$JOBS" && ((JOBS > 0)) || die "--jobs $JOBS is not a whole number above 0."
src="${PAIR%-*}" tgt="${PAIR#*-}"
for prefix in "$BITEXT" "$VALID" "$TEST"; do require_file "$prefix.$src" "$prefix.$tgt"; done
config="$SIZE"
[[ -f "$config" ]] || config="$HERE/$SIZE.sh"
[[ -f "$config" ]] || die "--size $SIZE is neither small, paper nor a file like $HERE/small.sh."
# shellcheck source=small.sh
source "$config"

mkdir -p "$WORK/log" "$WORK/done" "$WORK/text" "$WORK/translations" || die "$WORK cannot be made."
WORK="$(cd "$WORK" && pwd -P)"
exec 7>"$WORK/.lock"
flock -n 7 || { log "another run is at work in $WORK: waiting for it"; flock 7; }
set_threads "$JOBS"
use_environment
export PYTHONPATH="$REPO:$REPO/data_prep${PYTHONPATH:+:$PYTHONPATH}"
names=(bitext)

# 1: text. Every system gets the filtered bitext, and all but the first something more.
exclude=() evaluation=()
for prefix in "$VALID" "$TEST"; do
  for lang in "$src" "$tgt"; do
    exclude+=(--exclude "$prefix.$lang")
    evaluation+=(--input "$prefix.$lang")
  done
done
once --state "$WORK/done/text.bitext" --input "$BITEXT.$src" --input "$BITEXT.$tgt" "${evaluation[@]}" \
  --output "$WORK/text/bitext.$src" --output "$WORK/text/bitext.$tgt" -- \
  python "$REPO/data_prep/filter_pairs.py" --quiet --pair "$PAIR" --input "$BITEXT" "${exclude[@]}" --output "$WORK/text/bitext"
known=(--known "$WORK/text/bitext")
if [[ -n "$MINED" ]]; then
  hidden_files=()
  for ((i = 1; i < ${#hidden[@]}; i += 2)); do hidden_files+=(--input "${hidden[i]}"); done
  once --state "$WORK/done/text.mined" --input "$MINED" --input "$WORK/text/bitext.$src" --input "$WORK/text/bitext.$tgt" \
    "${evaluation[@]}" "${hidden_files[@]}" --output "$WORK/text/mined.$src" --output "$WORK/text/mined.$tgt" -- \
    python "$REPO/data_prep/filter_pairs.py" --quiet --pair "$PAIR" --mined "$MINED" ${THRESHOLD:+--threshold "$THRESHOLD"} \
    "${known[@]}" "${hidden[@]}" "${exclude[@]}" --output "$WORK/text/mined"
  names+=(mined)
fi
for system in "${systems[@]}"; do
  name="${system%%=*}" prefix="${system#*=}"
  [[ "$system" == *=* && "$name" =~ ^[A-Za-z0-9_]+$ && "$name" != bitext && "$name" != mined ]] ||
    die "--system $system is not of the form NAME=PREFIX with a new name."
  once --state "$WORK/done/text.$name" --input "$prefix.$src" --input "$prefix.$tgt" --input "$WORK/text/bitext.$src" \
    --input "$WORK/text/bitext.$tgt" "${evaluation[@]}" --output "$WORK/text/$name.$src" --output "$WORK/text/$name.$tgt" -- \
    python "$REPO/data_prep/filter_pairs.py" --quiet --pair "$PAIR" --input "$prefix" "${known[@]}" "${exclude[@]}" \
    --output "$WORK/text/$name"
  names+=("$name")
done

# 2: one vocabulary for both languages and all systems: else it would be another difference between them.
vocabulary=("$WORK/text/bitext.$src" "$WORK/text/bitext.$tgt" "${mono[@]}") inputs=()
for file in "${vocabulary[@]}"; do inputs+=(--input "$file"); done
once --state "$WORK/done/vocabulary" "${inputs[@]}" --output "$WORK/spm.model" --output "$WORK/dict.txt" -- \
  python "$HERE/vocabulary.py" --quiet --size "$SPM_SIZE" --output "$WORK" "${vocabulary[@]}"
flock -u 7 # from here each system has a lock of its own

preprocess() { # preprocess NAME: pieces, then fairseq's binary files, under their name when they are whole
  # `once` tests what comes back, and there `set -e` sleeps: each step says itself when it failed.
  local folder="$WORK/bin/$1" lang
  rm -rf "$folder" "$folder.tmp"
  mkdir -p "$folder.tmp/text" || return
  for lang in "$src" "$tgt"; do
    if [[ "$1" == bitext ]]; then cat "$WORK/text/bitext.$lang"; else cat "$WORK/text/bitext.$lang" "$WORK/text/$1.$lang"; fi \
      >"$folder.tmp/text/train.$lang" && cp "$VALID.$lang" "$folder.tmp/text/valid.$lang" && cp "$TEST.$lang" "$folder.tmp/text/test.$lang" || return
  done
  python "$HERE/vocabulary.py" --quiet --encode --output "$WORK" "$folder.tmp/text"/{train,valid,test}.{"$src","$tgt"} || return
  fairseq-preprocess --source-lang "$src" --target-lang "$tgt" --trainpref "$folder.tmp/text/train.pieces" \
    --validpref "$folder.tmp/text/valid.pieces" --testpref "$folder.tmp/text/test.pieces" --srcdict "$WORK/dict.txt" \
    --tgtdict "$WORK/dict.txt" --destdir "$folder.tmp" --workers 1 >"$WORK/log/preprocess.$1.log" 2>&1 ||
    die "fairseq-preprocess failed: $(tail -n 1 "$WORK/log/preprocess.$1.log") (all of it: $WORK/log/preprocess.$1.log)."
  mv "$folder.tmp" "$folder"
}

show_validations() { # of fairseq's log, a line each validation
  local line number='"([0-9.e+-]+|nan|inf)"'
  while IFS= read -r line; do
    if [[ "$line" =~ "| valid |".*'"valid_loss": '$number.*'"valid_bleu": '$number.*'"valid_num_updates": '$number ]]; then
      printf 'update %6s | valid loss %s | BLEU %s (greedy)\n' "${BASH_REMATCH[3]}" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&2
    fi
  done
}

train() { # train NAME: until it is done; a run that was killed goes on from its last checkpoint
  local folder="$WORK/checkpoints/$1" never=1073741824
  local -a options=("$WORK/bin/$1" --user-dir "$REPO/fairseq_distill" --task translation --source-lang "$src" --target-lang "$tgt"
    "${ARCHITECTURE[@]}" "${OPTIMISATION[@]}" "${LENGTH[@]}" --seed "$SEED" --skip-invalid-size-inputs-valid-test
    --eval-bleu --eval-bleu-args '{"beam": 1, "max_len_a": 1.2, "max_len_b": 10}' --eval-bleu-remove-bpe sentencepiece
    --best-checkpoint-metric bleu --maximize-best-checkpoint-metric --validate-interval-updates "$VALIDATE_EVERY"
    --save-interval-updates "$VALIDATE_EVERY" --keep-interval-updates 1 --save-interval "$never" --validate-interval "$never"
    --no-epoch-checkpoints --num-workers 0 --log-format json --log-interval 50 --log-file "$WORK/log/train.$1.json.log"
    --save-dir "$folder" "${extra[@]}")
  if [[ -d "$folder" ]]; then python "$REPO/recipes/mend_checkpoints.py" --quiet "$folder" || return; fi
  log "training $1; the whole log is $WORK/log/train.$1.log"
  fairseq-train "${options[@]}" 2>&1 | tee -a "$WORK/log/train.$1.log" | show_validations || {
    tail -n 5 "$WORK/log/train.$1.log" >&2
    die "fairseq-train failed; its last lines are above."
  }
  require_file "$folder/checkpoint_best.pt"
}

translate() { # translate NAME: the test set by the best checkpoint, line for line
  local log="$WORK/log/generate.$1.log" output="$WORK/translations/$1.$tgt"
  fairseq-generate "$WORK/bin/$1" --user-dir "$REPO/fairseq_distill" --task translation --source-lang "$src" --target-lang "$tgt" \
    --path "$WORK/checkpoints/$1/checkpoint_best.pt" --gen-subset test --beam "$BEAM" --max-len-a 1.2 --max-len-b 10 \
    --remove-bpe sentencepiece --max-tokens 4000 --num-workers 0 --seed "$SEED" >"$log" 2>"$log.err" ||
    die "fairseq-generate failed: $(tail -n 1 "$log.err") (all of it: $log.err)."
  python "$HERE/translations.py" --quiet --generated "$log" --lines "$(count_lines "$TEST.$src")" --output "$output"
}

# 3: binarise, train and translate each system.
words="$(printf '%q ' "${ARCHITECTURE[@]}" "${OPTIMISATION[@]}" "${LENGTH[@]}" "$VALIDATE_EVERY" "$SEED" "${extra[@]}")"

system() { # system NAME
  local name="$1" state="$WORK/done" want file
  local -a text=() binary=()
  exec 8>"$WORK/.lock.$name"
  flock -n 8 || { log "another run is at work on $name: waiting for it"; flock 8; }
  for file in "bitext.$src" "bitext.$tgt" "$name.$src" "$name.$tgt"; do text+=(--input "$WORK/text/$file"); done
  once --state "$state/bin.$name" "${text[@]}" "${evaluation[@]}" --input "$WORK/spm.model" \
    --output "$WORK/bin/$name/train.$PAIR.$src.bin" -- preprocess "$name"
  for file in "train.$PAIR.$src.bin" "train.$PAIR.$tgt.bin" "valid.$PAIR.$src.bin" "dict.$src.txt"; do binary+=("$WORK/bin/$name/$file"); done
  want="$({ printf '%s' "$words" && cat "${binary[@]}"; } | sha256sum)"
  if [[ -f "$state/plan.$name" && "$(cat "$state/plan.$name")" != "$want" ]]; then
    log "the data or the options of $name have changed: its training starts anew"
    rm -rf "$WORK/checkpoints/$name" "$WORK/log/train.$name.json.log"
  fi
  printf '%s\n' "$want" >"$state/plan.$name.tmp" && mv -f "$state/plan.$name.tmp" "$state/plan.$name"
  once --state "$state/train.$name" --key "$want" --output "$WORK/checkpoints/$name/checkpoint_best.pt" -- train "$name"
  once --state "$state/translate.$name" --key "$BEAM" --input "$WORK/checkpoints/$name/checkpoint_best.pt" \
    --input "$WORK/bin/$name/test.$PAIR.$src.bin" --output "$WORK/translations/$name.$tgt" -- translate "$name"
}

running=0
for name in "${names[@]}"; do
  if ((running == JOBS)); then
    wait -n || die "a system failed; its last lines are above."
    running=$((running - 1))
  fi
  (system "$name") & # a subshell each, where `set -e` holds
  running=$((running + 1))
done
while ((running)); do
  wait -n || die "a system failed; its last lines are above."
  running=$((running - 1))
done

# 4: judge.
scored=()
for name in "${names[@]}"; do scored+=(--system "$name=$WORK/translations/$name.$tgt"); done
python "$HERE/score.py" --quiet --work "$WORK" --pair "$PAIR" --references "$TEST.$tgt" "${scored[@]}" --seed "$SEED" \
  --command "bash recipes/nmt/run.sh$called"
printf '\nresults          %s\ntranslations     %s\n' "$WORK/results.json" "$WORK/translations"
