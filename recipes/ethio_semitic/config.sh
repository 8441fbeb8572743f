# Ethio-Semitic: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Ethio-Semitic"
LANGS=(amh tir)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "amh OPUS-globalvoices-v2018q4-amh-eng CC-BY-3.0"
  "amh OPUS-ted2020-v1-amh-eng CC-BY-NC-ND-4.0"
  "amh OPUS-wikimedia-v20230407-amh-eng CC-BY-SA"
  "amh OPUS-qed-v2.0a-amh-eng QED"
  "amh OPUS-bible_uedin-v1-amh-eng Bible"
  "amh OPUS-gnome-v1-amh-eng programs"
  "amh AllenAi-nllb-1-amh-eng ODC-By-1.0"
  "amh Statmt-news_crawl-2023-amh News-Crawl"
  "amh Leipzig-community-2017-amh CC-BY"
  "amh Leipzig-wikipedia-2021_30k-amh CC-BY"
  "tir OPUS-tico_19-v20201028-eng-tir CC0-1.0"
  "tir OPUS-wikimedia-v20230407-eng-tir CC-BY-SA"
  "tir OPUS-qed-v2.0a-eng-tir QED"
  "tir AllenAi-nllb-1-eng-tir ODC-By-1.0"
  "tir Statmt-news_crawl-2023-tir News-Crawl"
  "tir Leipzig-community-2017-tir CC-BY"
)
