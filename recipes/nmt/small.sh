# The size that shows on 2 cores, in under an hour, whether mined pairs help: for some thousand short sentences.
# Read by run.sh. Chosen so that a system on 3,000 pairs learns at all; not a system to use.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
SPM_SIZE=2000        # one vocabulary for both languages; the paper's 7,000 are too many for so little text
ARCHITECTURE=(--arch transformer --encoder-layers 2 --decoder-layers 2 --encoder-embed-dim 192 --decoder-embed-dim 192
  --encoder-ffn-embed-dim 512 --decoder-ffn-embed-dim 512 --encoder-attention-heads 4 --decoder-attention-heads 4
  --encoder-normalize-before --decoder-normalize-before --share-all-embeddings)
OPTIMISATION=(--optimizer adam --adam-betas '(0.9, 0.98)' --lr 2e-3 --lr-scheduler inverse_sqrt --warmup-updates 200
  --clip-norm 1.0 --dropout 0.3 --attention-dropout 0.1 --weight-decay 1e-4 --criterion label_smoothed_cross_entropy
  --label-smoothing 0.1 --max-tokens 1500)
LENGTH=(--max-update 1200) # the same number of updates for all systems: more text must not mean more training
VALIDATE_EVERY=300   # updates; BLEU of greedy translations of the valid set chooses the checkpoint
BEAM=5
