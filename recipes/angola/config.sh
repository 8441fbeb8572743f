# Kimbundu, Umbundu and Chokwe: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Kimbundu, Umbundu and Chokwe"
LANGS=(kmb umb cjk)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "kmb AllenAi-nllb-1-eng-kmb_Latn ODC-By-1.0"
  "umb OPUS-qed-v2.0a-eng-umb QED"
  "umb AllenAi-nllb-1-eng-umb_Latn ODC-By-1.0"
  "cjk AllenAi-nllb-1-cjk_Latn-eng ODC-By-1.0"
)
