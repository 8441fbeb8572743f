#!/usr/bin/env bash
# Bitext without a download site: translated message catalogues from the distribution's packages, or from this machine.
#
#   bash data_prep/catalogues.sh --output DIR [--dev N] [--test N] LANG…
#
# For each language: DIR/eng-LANG/all.eng and all.LANG, with counts in all.json; with --dev or --test also train.*, dev.*
# and test.*, the held-out parts being full sentences. LibreOffice's translations (libreoffice-l10n-*) are fetched with
# `apt-get download`, which needs no root; where that does not work, the catalogues under /usr/share/locale are read.
# shellcheck source=../recipes/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common.sh"

LOCALES="${FAIRSEQ_DISTILL_LOCALES:-/usr/share/locale}" # where this machine's catalogues are
OUTPUT="" DEV=0 TEST=0 UPDATED=no
langs=()
while (($#)); do
  case "$1" in
    -h | --help)
      show_help
      exit 0
      ;;
    --output | --dev | --test)
      (($# > 1)) || die "$1 needs a value; see --help."
      case "$1" in
        --output) OUTPUT="$2" ;;
        --dev) DEV="$2" ;;
        --test) TEST="$2" ;;
      esac
      shift 2
      ;;
    -*) die "unknown option $1; see --help." ;;
    *)
      langs+=("$1")
      shift
      ;;
  esac
done
[[ -n "$OUTPUT" ]] || die "--output DIR is needed; see --help."
((${#langs[@]})) || die "name at least one language, such as zul; see --help."
for number in "$DEV" "$TEST"; do
  is_number "$number" || die "$number is not a whole number; --dev and --test take one."
done
use_environment
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$OUTPUT/packages"
OUTPUT="$(cd "$OUTPUT" && pwd -P)"
here="$REPO/data_prep"

apt_download() { # apt_download PACKAGE FOLDER: the package's file into FOLDER; false where that does not work
  (cd "$2" && apt-get download -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$1") >>"$OUTPUT/packages/apt.log" 2>&1
}

apt_update() { # once; false where only root may
  [[ "$UPDATED" == no && "$(id -u)" == 0 ]] || return 1
  UPDATED=yes
  log "apt-get update"
  apt-get update -qq >>"$OUTPUT/packages/apt.log" 2>&1
}

fetch() { # fetch PACKAGE: unpacked at packages/PACKAGE; false where it cannot be had
  local folder="$OUTPUT/packages/$1" new
  if [[ -d "$folder" ]]; then return; fi
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  new="$(mktemp -d "$OUTPUT/packages/new.XXXXXX")"
  log "apt-get download $1"
  if apt_download "$1" "$new" || { apt_update && apt_download "$1" "$new"; }; then
    # A package has no other way out than its .deb; the folder gets its name when all of it is unpacked.
    dpkg-deb -x "$new"/*.deb "$new/unpacked" && mv -T "$new/unpacked" "$folder"
  fi
  rm -rf "$new"
  [[ -d "$folder" ]]
}

extract() { # extract LANG CODE: pairs at eng-LANG/all.*
  local lang="$1" code="$2" prefix="$OUTPUT/eng-$1/all"
  local -a sources=()
  if fetch "libreoffice-l10n-$code"; then
    sources+=("$OUTPUT/packages/libreoffice-l10n-$code")
    # Menu texts lie in a registry without English; the British English package has the same places.
    if fetch libreoffice-l10n-en-gb; then sources+=("$OUTPUT/packages/libreoffice-l10n-en-gb"); fi
  elif [[ -d "$LOCALES/$code/LC_MESSAGES" ]]; then
    log "$lang: no package libreoffice-l10n-$code to be had (see $OUTPUT/packages/apt.log); reading $LOCALES/$code"
    sources+=("$LOCALES/$code")
  else
    die "no catalogues of $lang: neither the package libreoffice-l10n-$code nor $LOCALES/$code is to be had here." \
      "To use bitext of your own, run: bash recipes/student.sh --work DIR --langs $lang --bitext eng-$lang=PREFIX …, where" \
      "PREFIX.eng and PREFIX.$lang are text files that match line by line."
  fi
  mkdir -p "$OUTPUT/eng-$lang"
  once --state "$OUTPUT/packages/eng-$lang.all" --input "$here/catalogues.py" --input "$here/catalogue_files.py" \
    --input "$here/catalogue_text.py" --output "$prefix.eng" --output "$prefix.$lang" --output "$prefix.json" -- \
    python "$here/catalogues.py" --quiet --lang "$lang" --output "$prefix" "${sources[@]}"
}

split() { # split LANG: train.*, and dev.* and test.* where they are wanted
  local folder="$OUTPUT/eng-$1" part
  local -a heldout=() outputs=(--output "$OUTPUT/eng-$1/train.eng" --output "$OUTPUT/eng-$1/train.$1")
  if ((DEV)); then heldout+=(--heldout "$folder/dev=$DEV"); fi
  if ((TEST)); then heldout+=(--heldout "$folder/test=$TEST"); fi
  if ((${#heldout[@]} == 0)); then return; fi
  for part in "${heldout[@]}"; do
    if [[ "$part" != --* ]]; then outputs+=(--output "${part%=*}.eng" --output "${part%=*}.$1"); fi
  done
  once --state "$OUTPUT/packages/eng-$1.split" --input "$folder/all.eng" --input "$folder/all.$1" --input "$here/split_heldout.py" \
    "${outputs[@]}" -- python "$here/split_heldout.py" --quiet --pair "eng-$1" --input "$folder/all" \
    --train "$folder/train" "${heldout[@]}"
}

for lang in "${langs[@]}"; do
  code="$(python "$here/catalogues.py" --quiet --lang "$lang" --print-code)" || exit 1
  extract "$lang" "$code"
  split "$lang"
  sentences="$(grep -o '"sentences": [0-9]*' "$OUTPUT/eng-$lang/all.json")"
  log "$lang | $(count_lines "$OUTPUT/eng-$lang/all.eng") pairs, ${sentences##* } of them sentences | $OUTPUT/eng-$lang"
done
