# Sotho-Tswana: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Sotho-Tswana"
LANGS=(nso sot tsn loz)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "nso OPUS-wikimedia-v20230407-eng-nso CC-BY-SA"
  "nso OPUS-qed-v2.0a-eng-nso QED"
  "nso OPUS-gnome-v1-eng-nso programs"
  "nso AllenAi-nllb-1-eng-nso ODC-By-1.0"
  "nso Leipzig-community-2021-nso CC-BY"
  "sot OPUS-wikimedia-v20230407-eng-sot CC-BY-SA"
  "sot OPUS-qed-v2.0a-eng-sot QED"
  "sot OPUS-translatewiki-v20250101-eng-sot CC-BY-3.0"
  "sot OPUS-gnome-v1-eng-sot programs"
  "sot AllenAi-nllb-1-eng-sot ODC-By-1.0"
  "sot Leipzig-community-2017-sot CC-BY"
  "tsn OPUS-wikimedia-v20230407-eng-tsn CC-BY-SA"
  "tsn AllenAi-nllb-1-eng-tsn ODC-By-1.0"
  "tsn Leipzig-community-2017-tsn CC-BY"
)
