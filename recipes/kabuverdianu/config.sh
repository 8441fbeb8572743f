# Kabuverdianu: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Kabuverdianu"
LANGS=(kea)
PIVOTS=(por)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "kea AllenAi-nllb-1-eng-kea_Latn ODC-By-1.0"
  "kea Leipzig-community-2017-kea CC-BY"
  "por OPUS-tico_19-v20201028-eng-por CC0-1.0"
  "por OPUS-globalvoices-v2018q4-eng-por CC-BY-3.0"
  "por OPUS-ted2020-v1-eng-por CC-BY-NC-ND-4.0"
  "por OPUS-wikimedia-v20230407-eng-por CC-BY-SA"
  "por OPUS-qed-v2.0a-eng-por QED"
  "por OPUS-bible_uedin-v1-eng-por Bible"
)
