# Nigerian Pidgin: what differs from the defaults; recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Nigerian Pidgin"
LANGS=(pcm)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "pcm OPUS-wikimedia-v20230407-eng-pcm CC-BY-SA"
  "pcm Leipzig-community-2017-pcm CC-BY"
)
