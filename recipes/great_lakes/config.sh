# Great Lakes Bantu: recipes/README.md explains each setting.
# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py
FAMILY="Great Lakes Bantu"
LANGS=(kin run lug nyn ttj xog lwg myx nuj bxk lko guz)
SPM_SIZE=8000
TEMPERATURE=2
CURRICULUM=none
# cosine; contrastive, with a queue of 4,096; MLM, with 25 % of the pieces where there is monolingual text
OPTIONS=(--distil-weight 1 --contrastive-weight 1 --mlm-weight 0.09)
# language, mtdata id, licence; the most trusted first
CORPORA=(
  "kin OPUS-tico_19-v20201028-eng-kin CC0-1.0"
  "kin OPUS-wikimedia-v20230407-eng-kin CC-BY-SA"
  "kin OPUS-qed-v2.0a-eng-kin QED"
  "kin OPUS-gnome-v1-eng-kin programs"
  "kin AllenAi-nllb-1-eng-kin ODC-By-1.0"
  "kin Statmt-news_crawl-2023-kin News-Crawl"
  "kin Leipzig-community-2022-kin CC-BY"
  "run OPUS-wikimedia-v20230407-eng-run CC-BY-SA"
  "run OPUS-qed-v2.0a-eng-run QED"
  "run AllenAi-nllb-1-eng-run ODC-By-1.0"
  "run Leipzig-community-2017-run CC-BY"
  "lug OPUS-tico_19-v20201028-eng-lug CC0-1.0"
  "lug OPUS-wikimedia-v20230407-eng-lug CC-BY-SA"
  "lug OPUS-qed-v2.0a-eng-lug QED"
  "lug OPUS-gnome-v1-eng-lug programs"
  "lug AllenAi-nllb-1-eng-lug_Latn ODC-By-1.0"
  "lug Leipzig-community-2017-lug CC-BY"
  "lug Leipzig-wikipedia-2021_10k-lug CC-BY"
  "lug Leipzig-newscrawl-2016_300k-lug CC-BY"
  "nyn OPUS-translatewiki-v20250101-eng-nyn CC-BY-3.0"
  "nyn Leipzig-community-2017-nyn CC-BY"
)
