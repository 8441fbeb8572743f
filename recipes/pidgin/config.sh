# Nigerian Pidgin: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Nigerian Pidgin"
LANGS=(pcm)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "pcm OPUS-wikimedia-v20230407-eng-pcm CC-BY-SA"
  "pcm Leipzig-community-2017-pcm CC-BY"
)
