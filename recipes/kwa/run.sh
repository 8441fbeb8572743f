#!/usr/bin/env bash
# shellcheck source=../family.sh
source "$(dirname "${BASH_SOURCE[0]}")/../family.sh"
run_family "$(dirname "${BASH_SOURCE[0]}")" "$@"
