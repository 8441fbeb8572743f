# Atlantic: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Atlantic"
LANGS=(wol fuv ful)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "wol OPUS-wikimedia-v20230407-eng-wol CC-BY-SA"
  "wol OPUS-qed-v2.0a-eng-wol QED"
  "wol OPUS-bible_uedin-v1-eng-wol Bible"
  "wol AllenAi-nllb-1-eng-wol_Latn ODC-By-1.0"
  "wol Leipzig-community-2017-wol CC-BY"
  "fuv OPUS-tico_19-v20201028-eng-fuv CC0-1.0"
  "fuv AllenAi-nllb-1-eng-fuv_Latn ODC-By-1.0"
  "ful OPUS-wikimedia-v20230407-eng-ful CC-BY-SA"
  "ful OPUS-qed-v2.0a-eng-ful QED"
  "ful Leipzig-community-2017-ful CC-BY"
  "ful Leipzig-community-2017-fuc CC-BY"
)
