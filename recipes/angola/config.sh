# Kimbundu, Umbundu and Chokwe: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Kimbundu, Umbundu and Chokwe"
LANGS=(kmb umb cjk)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# weights, unless OPTIONS says otherwise: cosine 1, contrastive 1 (queue of 4,096), MLM 0.09 in 25 % of the pieces
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "kmb AllenAi-nllb-1-eng-kmb_Latn ODC-By-1.0"
  "umb OPUS-qed-v2.0a-eng-umb QED"
  "umb AllenAi-nllb-1-eng-umb_Latn ODC-By-1.0"
  "cjk AllenAi-nllb-1-cjk_Latn-eng ODC-By-1.0"
)
