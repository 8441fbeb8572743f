# Nguni: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Nguni"
LANGS=(zul xho ssw nbl nde)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "zul OPUS-tico_19-v20201028-eng-zul CC0-1.0"
  "zul OPUS-wikimedia-v20230407-eng-zul CC-BY-SA"
  "zul OPUS-qed-v2.0a-eng-zul QED"
  "zul OPUS-bible_uedin-v1-eng-zul Bible"
  "zul OPUS-translatewiki-v20250101-eng-zul CC-BY-3.0"
  "zul OPUS-gnome-v1-eng-zul programs"
  "zul AllenAi-nllb-1-eng-zul ODC-By-1.0"
  "zul Leipzig-community-2021-zul CC-BY"
  "xho OPUS-wikimedia-v20230407-eng-xho CC-BY-SA"
  "xho OPUS-qed-v2.0a-eng-xho QED"
  "xho OPUS-bible_uedin-v1-eng-xho Bible"
  "xho OPUS-translatewiki-v20250101-eng-xho CC-BY-3.0"
  "xho OPUS-gnome-v1-eng-xho programs"
  "xho AllenAi-nllb-1-eng-xho ODC-By-1.0"
  "xho Leipzig-community-2017-xho CC-BY"
  "ssw OPUS-wikimedia-v20230407-eng-ssw CC-BY-SA"
  "ssw OPUS-bible_uedin-v1-eng-ssw Bible"
  "ssw AllenAi-nllb-1-eng-ssw ODC-By-1.0"
  "ssw Leipzig-community-2017-ssw CC-BY"
  "nbl OPUS-gnome-v1-eng-nbl programs"
  "nbl Statmt-news_crawl-2023-nbl News-Crawl"
  "nbl Leipzig-community-2017-nbl CC-BY"
  "nde OPUS-qed-v2.0a-eng-nde QED"
)
