# Saharan: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Saharan"
LANGS=(kau)
PIVOTS=(hau)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "kau OPUS-tico_19-v20201028-eng-kau CC0-1.0"
  "kau OPUS-qed-v2.0a-eng-kau QED"
  "kau OPUS-gnome-v1-eng-kau programs"
  "kau AllenAi-nllb-1-eng-knc_Arab ODC-By-1.0"
  "kau AllenAi-nllb-1-eng-knc_Latn ODC-By-1.0"
  "hau OPUS-tico_19-v20201028-eng-hau CC0-1.0"
  "hau OPUS-ted2020-v1-eng-hau CC-BY-NC-ND-4.0"
  "hau OPUS-wikimedia-v20230407-eng-hau CC-BY-SA"
  "hau OPUS-qed-v2.0a-eng-hau QED"
)
