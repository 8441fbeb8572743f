# Volta-Niger: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Volta-Niger"
LANGS=(yor ibo)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "yor OPUS-globalvoices-v2018q4-eng-yor CC-BY-3.0"
  "yor OPUS-wikimedia-v20230407-eng-yor CC-BY-SA"
  "yor OPUS-qed-v2.0a-eng-yor QED"
  "yor OPUS-gnome-v1-eng-yor programs"
  "yor AllenAi-nllb-1-eng-yor_Latn ODC-By-1.0"
  "yor Statmt-news_crawl-2023-yor News-Crawl"
  "yor Leipzig-community-2017-yor CC-BY"
  "yor Leipzig-wikipedia-2021_10k-yor CC-BY"
  "ibo OPUS-ted2020-v1-eng-ibo CC-BY-NC-ND-4.0"
  "ibo OPUS-wikimedia-v20230407-eng-ibo CC-BY-SA"
  "ibo OPUS-qed-v2.0a-eng-ibo QED"
  "ibo OPUS-gnome-v1-eng-ibo programs"
  "ibo OPUS-paracrawl-v7.1-eng-ibo CC0-1.0"
  "ibo AllenAi-nllb-1-eng-ibo_Latn ODC-By-1.0"
  "ibo Statmt-news_crawl-2023-ibo News-Crawl"
  "ibo Leipzig-community-2017-ibo CC-BY"
  "ibo Leipzig-wikipedia-2021_10k-ibo CC-BY"
)
