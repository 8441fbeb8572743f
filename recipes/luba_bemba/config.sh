# Luba, Bemba and Tonga: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Luba, Bemba and Tonga"
LANGS=(bem lua toi)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "bem OPUS-gnome-v1-bem-eng programs"
  "bem AllenAi-nllb-1-bem_Latn-eng ODC-By-1.0"
  "bem Leipzig-community-2017-bem CC-BY"
  "lua OPUS-translatewiki-v20250101-eng-lua CC-BY-3.0"
  "lua AllenAi-nllb-1-eng-lua_Latn ODC-By-1.0"
)
