# Shona, Nyanja and Tumbuka: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Shona, Nyanja and Tumbuka"
LANGS=(sna nya tum)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "sna OPUS-wikimedia-v20230407-eng-sna CC-BY-SA"
  "sna OPUS-qed-v2.0a-eng-sna QED"
  "sna OPUS-bible_uedin-v1-eng-sna Bible"
  "sna AllenAi-nllb-1-eng-sna_Latn ODC-By-1.0"
  "sna Statmt-news_crawl-2023-sna News-Crawl"
  "sna Leipzig-community-2017-sna CC-BY"
  "nya OPUS-wikimedia-v20230407-eng-nya CC-BY-SA"
  "nya OPUS-qed-v2.0a-eng-nya QED"
  "nya AllenAi-nllb-1-eng-nya ODC-By-1.0"
  "nya Leipzig-community-2017-nya CC-BY"
  "tum OPUS-wikimedia-v20230407-eng-tum CC-BY-SA"
  "tum OPUS-translatewiki-v20250101-eng-tum CC-BY-3.0"
  "tum AllenAi-nllb-1-eng-tum_Latn ODC-By-1.0"
  "tum Leipzig-community-2017-tum CC-BY"
)
