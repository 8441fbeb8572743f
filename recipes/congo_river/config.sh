# Lingala, Kongo and Sango: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Lingala, Kongo and Sango"
LANGS=(lin kon sag)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "lin OPUS-tico_19-v20201028-eng-lin CC0-1.0"
  "lin OPUS-wikimedia-v20230407-eng-lin CC-BY-SA"
  "lin OPUS-qed-v2.0a-eng-lin QED"
  "lin OPUS-translatewiki-v20250101-eng-lin CC-BY-3.0"
  "lin AllenAi-nllb-1-eng-lin ODC-By-1.0"
  "lin Leipzig-community-2017-lin CC-BY"
  "kon OPUS-wikimedia-v20230407-eng-kon CC-BY-SA"
  "kon OPUS-translatewiki-v20250101-eng-kon CC-BY-3.0"
  "kon OPUS-gnome-v1-eng-kon programs"
  "kon AllenAi-nllb-1-eng-kon_Latn ODC-By-1.0"
  "kon Leipzig-community-2017-kon CC-BY"
  "sag OPUS-qed-v2.0a-eng-sag QED"
  "sag AllenAi-nllb-1-eng-sag ODC-By-1.0"
)
