# Cushitic, with Wolaytta: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Cushitic, with Wolaytta"
LANGS=(orm som aar wal)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "orm OPUS-tico_19-v20201028-eng-orm CC0-1.0"
  "orm OPUS-wikimedia-v20230407-eng-orm CC-BY-SA"
  "orm OPUS-qed-v2.0a-eng-orm QED"
  "orm AllenAi-nllb-1-eng-gaz_Latn ODC-By-1.0"
  "orm Statmt-news_crawl-2023-orm News-Crawl"
  "orm Leipzig-community-2021-orm CC-BY"
  "orm Leipzig-wikipedia-2021_10k-orm CC-BY"
  "som OPUS-tico_19-v20201028-eng-som CC0-1.0"
  "som OPUS-infopankki-v1-eng-som CC-BY-4.0"
  "som OPUS-ted2020-v1-eng-som CC-BY-NC-ND-4.0"
  "som OPUS-wikimedia-v20230407-eng-som CC-BY-SA"
  "som OPUS-qed-v2.0a-eng-som QED"
  "som OPUS-bible_uedin-v1-eng-som Bible"
  "som OPUS-gnome-v1-eng-som programs"
  "som OPUS-paracrawl-v9-eng-som CC0-1.0"
  "som AllenAi-nllb-1-eng-som ODC-By-1.0"
  "som Statmt-news_crawl-2023-som News-Crawl"
  "som Leipzig-community-2017-som CC-BY"
  "som Leipzig-wikipedia-2021_10k-som CC-BY"
  "aar OPUS-qed-v2.0a-aar-eng QED"
  "aar Leipzig-community-2017-aar CC-BY"
  "wal OPUS-bible_uedin-v1-eng-wal Bible"
)
