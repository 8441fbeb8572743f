# Gur: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Gur"
LANGS=(mos kbp dop gur dag dga)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "mos OPUS-qed-v2.0a-eng-mos QED"
  "mos AllenAi-nllb-1-eng-mos_Latn ODC-By-1.0"
  "mos Leipzig-community-2017-mos CC-BY"
  "kbp AllenAi-nllb-1-eng-kbp_Latn ODC-By-1.0"
  "dop OPUS-bible_uedin-v1-dop-eng Bible"
  "dag OPUS-wikimedia-v20230407-dag-eng CC-BY-SA"
  "dag OPUS-translatewiki-v20250101-dag-eng CC-BY-3.0"
)
