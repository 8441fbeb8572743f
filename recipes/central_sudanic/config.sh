# Central Sudanic: what differs from the defaults; recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Central Sudanic"
LANGS=(lgg luc)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "lgg Leipzig-community-2017-lgg CC-BY"
)
