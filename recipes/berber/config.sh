# Berber: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Berber"
LANGS=(kab shi tzm taq ttq)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "kab OPUS-wikimedia-v20230407-eng-kab CC-BY-SA"
  "kab OPUS-bible_uedin-v1-eng-kab Bible"
  "kab OPUS-translatewiki-v20250101-eng-kab CC-BY-3.0"
  "kab AllenAi-nllb-1-eng-kab_Latn ODC-By-1.0"
  "kab Leipzig-community-2017-kab CC-BY"
  "shi OPUS-wikimedia-v20230407-eng-shi CC-BY-SA"
  "shi OPUS-bible_uedin-v1-eng-shi Bible"
  "tzm AllenAi-nllb-1-eng-tzm_Tfng ODC-By-1.0"
  "taq AllenAi-nllb-1-eng-taq_Latn ODC-By-1.0"
)
