# Mande: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Mande"
LANGS=(bam dyu)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=progressive
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "bam OPUS-wikimedia-v20230407-bam-eng CC-BY-SA"
  "bam OPUS-qed-v2.0a-bam-eng QED"
  "bam AllenAi-nllb-1-bam_Latn-eng ODC-By-1.0"
  "bam Statmt-news_crawl-2023-bam News-Crawl"
  "bam Leipzig-community-2021-bam CC-BY"
  "dyu AllenAi-nllb-1-dyu_Latn-eng ODC-By-1.0"
  "dyu Leipzig-community-2017-dyu CC-BY"
)
