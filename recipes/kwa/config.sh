# Kwa: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Kwa"
LANGS=(twi aka ewe fon gaa gjn)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "twi OPUS-wikimedia-v20230407-eng-twi CC-BY-SA"
  "twi OPUS-qed-v2.0a-eng-twi QED"
  "twi OPUS-translatewiki-v20250101-eng-twi CC-BY-3.0"
  "twi AllenAi-nllb-1-eng-twi_Latn ODC-By-1.0"
  "aka OPUS-wikimedia-v20230407-aka-eng CC-BY-SA"
  "aka OPUS-qed-v2.0a-aka-eng QED"
  "aka AllenAi-nllb-1-aka_Latn-eng ODC-By-1.0"
  "ewe OPUS-wikimedia-v20230407-ewe-eng CC-BY-SA"
  "ewe OPUS-qed-v2.0a-ewe-eng QED"
  "ewe OPUS-bible_uedin-v1-ewe-eng Bible"
  "ewe AllenAi-nllb-1-eng-ewe_Latn ODC-By-1.0"
  "ewe Leipzig-community-2017-ewe CC-BY"
  "fon AllenAi-nllb-1-eng-fon_Latn ODC-By-1.0"
  "fon Leipzig-community-2017-fon CC-BY"
  "gaa OPUS-translatewiki-v20250101-eng-gaa CC-BY-3.0"
)
