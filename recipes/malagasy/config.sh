# Malagasy: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Malagasy"
LANGS=(mlg)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "mlg OPUS-globalvoices-v2018q4-eng-mlg CC-BY-3.0"
  "mlg OPUS-ted2020-v1-eng-mlg CC-BY-NC-ND-4.0"
  "mlg OPUS-wikimedia-v20230407-eng-mlg CC-BY-SA"
  "mlg OPUS-qed-v2.0a-eng-mlg QED"
  "mlg OPUS-bible_uedin-v1-eng-plt Bible"
  "mlg OPUS-gnome-v1-eng-mlg programs"
  "mlg Facebook-wikimatrix-1-eng-mlg CC-BY-SA"
  "mlg AllenAi-nllb-1-eng-plt_Latn ODC-By-1.0"
  "mlg Leipzig-community-2017-mlg CC-BY"
  "mlg Leipzig-wikipedia-2021_100k-plt CC-BY"
)
