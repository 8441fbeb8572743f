# Sourced by every script of recipes/, data_prep/ and tests/: strict mode, messages, stages, the environment.
# shellcheck shell=bash
set -euo pipefail

# Sorting, lower-casing and reading must not depend on the user's locale; Debian and Ubuntu always have C.UTF-8.
export LC_ALL=C.UTF-8 PYTHONUTF8=1 PYTHONUNBUFFERED=1
export FAIRSEQ_DISTILL_PROGRESS=1 # the steps' progress is shown on a terminal, their log is not
# A teacher is loaded from the disk, never looked for on a hub; tokenisers must not fork under our own workers.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="${FAIRSEQ_DISTILL_VENV:-$REPO/.venv}"
if [[ "$VENV" != none && "$VENV" != /* ]]; then VENV="$PWD/$VENV"; fi
# shellcheck disable=SC2034 # for the scripts that source this one
CACHE="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/fairseq_distill"
FIRST_STAGE=1
LAST_STAGE=1000000

log() { # log MESSAGE: to stderr, with the time; results go to stdout
  printf '%(%Y-%m-%d %H:%M:%S)T | %s\n' -1 "$*" >&2
}

die() { # die MESSAGE: one sentence that says what is wrong and what to do, then exit code 1
  printf '%s: error: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

show_help() { # what --help prints: the comment that the calling script begins with
  sed -n '2,${/^#/!q;/^# shellcheck/q;s/^# \{0,1\}//p}' "${BASH_SOURCE[1]}"
}

# --- the environment

set_threads() { # set_threads [JOBS]: a job's share of all cores unless OMP_NUM_THREADS says otherwise
  local threads
  threads=$(($(nproc) / ${1:-1})) # nproc heeds the CPUs this process may use
  ((threads > 0)) || threads=1
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$threads}"
  export MKL_NUM_THREADS="${MKL_NUM_THREADS:-${OMP_NUM_THREADS%%,*}}"
}

use_environment() { # set up $VENV where that is not done, and put its commands first on the PATH
  set_threads
  if [[ "$VENV" == none ]]; then return; fi # FAIRSEQ_DISTILL_VENV=none: what is on the PATH, as it is
  bash "$REPO/recipes/setup_env.sh"
  export VIRTUAL_ENV="$VENV" PATH="$VENV/bin:$PATH"
  unset PYTHONHOME
}

# --- stages and steps

stage() { # if stage NUMBER TITLE; then …: true from --stage (FIRST_STAGE) to --stop-stage (LAST_STAGE)
  (($1 >= FIRST_STAGE && $1 <= LAST_STAGE)) || return 1
  log "stage $1: $2"
}

is_number() { # is_number WORD: a whole number without sign
  [[ "$1" =~ ^[0-9]+$ ]]
}

option_value() { # option_value NAME WORD…: the value of the last --NAME VALUE or --NAME=VALUE among the words; nothing where none is
  local name="--$1" value="" previous="" word
  shift
  for word in "$@"; do
    if [[ "$previous" == "$name" ]]; then value="$word"; fi
    if [[ "$word" == "$name="* ]]; then value="${word#*=}"; fi
    previous="$word"
  done
  printf '%s' "$value"
}

require_one_line() { # require_one_line NAME PATH: no line feed in it or in the folder it starts from; words of a plan are lines
  [[ "$2" != *$'\n'* && ("$2" == /* || "$PWD" != *$'\n'*) ]] || die "$1 $(printf %q "$2") holds a line feed; give another folder."
}

count_lines() { # count_lines FILE: a last line without line feed counts
  awk 'END { print NR }' <"$1" # not as a word: awk takes a/b=c for an assignment
}

require_file() { # require_file FILE…: each is a file with something in it
  local file
  for file in "$@"; do
    [[ -e "$file" ]] || die "$file does not exist."
    [[ -f "$file" ]] || die "$file is no regular file (a folder, or a pipe as <(…)), but it is read more than once; write it to a file first."
    [[ -s "$file" ]] || die "$file is empty."
  done
}

once() {
  # once --state FILE [--input FILE]… [--key TEXT]… [--output FILE]… -- COMMAND [ARGUMENT]…
  # Runs COMMAND, unless FILE records that it has ended well with the same words, keys and input contents, and its
  # outputs are there with the size they had. COMMAND must write its outputs atomically; FILE is written after it.
  local state="" key="" file want
  local -a inputs=() outputs=()
  while [[ $# -gt 0 && "$1" != -- ]]; do
    case "$1" in
      --state) state="$2" ;;
      --input) inputs+=("$2") ;;
      --key) key+="$2"$'\n' ;;
      --output) outputs+=("$2") ;;
      *) die "once: unknown option $1" ;;
    esac
    shift 2
  done
  shift
  [[ -n "$state" && $# -gt 0 ]] || die "once: --state FILE and a command are needed"
  if ((${#inputs[@]})); then require_file "${inputs[@]}"; fi
  want="$({
    printf '%s\0' "$key" "$@"
    for file in "${inputs[@]}"; do sha256sum -- "$file"; done
  } | sha256sum)"
  if [[ -f "$state" && "$(cat "$state")" == "$(_once_record "$want" "${outputs[@]}")" ]]; then
    log "unchanged: $(basename "$state")"
    return
  fi
  rm -f "$state"
  "$@" || exit # said here, since `set -e` sleeps where the caller tests what comes back
  if ((${#outputs[@]})); then require_file "${outputs[@]}"; fi
  _once_record "$want" "${outputs[@]}" >"$state.tmp"
  mv -f "$state.tmp" "$state"
}

_once_record() { # the content of a state file: the fingerprint of the inputs, then each output with its size
  local file
  printf '%s\n' "${1%% *}"
  for file in "${@:2}"; do
    printf '%s %s\n' "$(stat -L -c %s -- "$file" 2>/dev/null || echo missing)" "$file"
  done
}
