# Tsonga and Venda: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Tsonga and Venda"
LANGS=(tso tsc ven)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "tso OPUS-wikimedia-v20230407-eng-tso CC-BY-SA"
  "tso OPUS-qed-v2.0a-eng-tso QED"
  "tso OPUS-gnome-v1-eng-tso programs"
  "tso AllenAi-nllb-1-eng-tso ODC-By-1.0"
  "tso Leipzig-community-2017-tso CC-BY"
  "ven OPUS-wikimedia-v20230407-eng-ven CC-BY-SA"
  "ven OPUS-qed-v2.0a-eng-ven QED"
  "ven Leipzig-community-2017-ven CC-BY"
)
