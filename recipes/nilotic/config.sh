# Nilotic: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Nilotic"
LANGS=(luo ach adh laj anu din nus teo mas tuv keo kpz kln)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "luo OPUS-qed-v2.0a-eng-luo QED"
  "luo AllenAi-nllb-1-eng-luo_Latn ODC-By-1.0"
  "ach Leipzig-community-2017-ach CC-BY"
  "laj OPUS-translatewiki-v20250101-eng-laj CC-BY-3.0"
  "din OPUS-tico_19-v20201028-din-eng CC0-1.0"
  "din OPUS-wikimedia-v20230407-din-eng CC-BY-SA"
  "din OPUS-bible_uedin-v1-dik-eng Bible"
  "din OPUS-translatewiki-v20250101-din-eng CC-BY-3.0"
  "din AllenAi-nllb-1-dik_Latn-eng ODC-By-1.0"
  "nus AllenAi-nllb-1-eng-nus_Latn ODC-By-1.0"
)
