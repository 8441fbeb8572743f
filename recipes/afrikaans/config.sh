# Afrikaans: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Afrikaans"
LANGS=(afr)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "afr OPUS-ted2020-v1-afr-eng CC-BY-NC-ND-4.0"
  "afr OPUS-wikimedia-v20230407-afr-eng CC-BY-SA"
  "afr OPUS-qed-v2.0a-afr-eng QED"
  "afr OPUS-bible_uedin-v1-afr-eng Bible"
  "afr OPUS-gnome-v1-afr-eng programs"
  "afr AllenAi-nllb-1-afr-eng ODC-By-1.0"
  "afr Statmt-news_crawl-2023-afr News-Crawl"
  "afr Leipzig-wikipedia-2021_100k-afr CC-BY"
)
