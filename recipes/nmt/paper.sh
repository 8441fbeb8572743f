# The size of the paper: every pair the same, 12 + 12 layers, 100 epochs, SPM of 7,000, best checkpoint on the valid set.
# Read by run.sh. For a GPU with mined pairs in the hundred thousands and more: on some ten thousand pairs it overfits.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
# Known from the papers (Heffernan et al. 2022; NLLB Team 2022, section on the validation of mined bitext): layers, epochs,
# vocabulary, no filtering of the mined pairs beyond the threshold, the choice of the checkpoint. Not published there, and
# therefore this recipe's: widths, dropout, learning rate, batch (fairseq's transformer_vaswani_wmt_en_de_big and its usual schedule).
SPM_SIZE=7000
ARCHITECTURE=(--arch transformer_vaswani_wmt_en_de_big --encoder-layers 12 --decoder-layers 12
  --encoder-normalize-before --decoder-normalize-before --share-all-embeddings)
OPTIMISATION=(--optimizer adam --adam-betas '(0.9, 0.98)' --lr 1e-3 --lr-scheduler inverse_sqrt --warmup-updates 4000
  --clip-norm 1.0 --dropout 0.3 --attention-dropout 0.1 --weight-decay 1e-4 --criterion label_smoothed_cross_entropy
  --label-smoothing 0.1 --max-tokens 8192 --update-freq 4 --fp16)
LENGTH=(--max-epoch 100)
VALIDATE_EVERY=2000
BEAM=5
