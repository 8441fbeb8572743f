# Swahili, Kikuyu and Kamba: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Swahili, Kikuyu and Kamba"
LANGS=(swa kik kam mer)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "swa OPUS-tico_19-v20201028-eng-swa CC0-1.0"
  "swa OPUS-globalvoices-v2018q4-eng-swa CC-BY-3.0"
  "swa OPUS-ted2020-v1-eng-swa CC-BY-NC-ND-4.0"
  "swa OPUS-wikimedia-v20230407-eng-swa CC-BY-SA"
  "swa OPUS-qed-v2.0a-eng-swa QED"
  "swa OPUS-translatewiki-v20250101-eng-swa CC-BY-3.0"
  "swa OPUS-gnome-v1-eng-swa programs"
  "swa Facebook-wikimatrix-1-eng-swa CC-BY-SA"
  "swa OPUS-paracrawl-v9-eng-swa CC0-1.0"
  "swa AllenAi-nllb-1-eng-swh_Latn ODC-By-1.0"
  "swa Statmt-news_crawl-2023-swa News-Crawl"
  "swa Leipzig-community-2022-swa CC-BY"
  "swa Leipzig-wikipedia-2021_100k-swa CC-BY"
  "kik OPUS-wikimedia-v20230407-eng-kik CC-BY-SA"
  "kik OPUS-qed-v2.0a-eng-kik QED"
  "kik AllenAi-nllb-1-eng-kik_Latn ODC-By-1.0"
  "kik Leipzig-community-2017-kik CC-BY"
  "kam AllenAi-nllb-1-eng-kam_Latn ODC-By-1.0"
)
