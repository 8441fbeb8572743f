"""One of two processes that train a student under PyTorch's DistributedDataParallel on CPU, or both of them in one.

    python tests/plugin/ddp_process.py STORE RANK PROCESSES OUTPUT

fairseq's own wrapper names a device, which a CPU has not; so this does what it does by hand. Process 0 has masked pieces in
the first update alone, process 1 never.
"""

import sys

import torch
from torch import nn
from torch.distributed import FileStore, destroy_process_group, init_process_group

import fairseq_distill.tasks  # noqa: F401  registers everything
from fairseq_distill.models.student_encoder import StudentEncoderModel
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder


def student():
    torch.manual_seed(1)
    shape = EncoderShape(20, 8, 16, 1, 2, 6, "max")
    return StudentEncoderModel(StudentEncoder(shape), "float32").train()


def sentences(rank):
    return torch.randint(4, 20, (3, 5), generator=torch.Generator().manual_seed(rank))


def loss_of(model, rank, update):
    masked = torch.tensor([1, 7, 8]) if rank == 0 and update == 0 else None
    output = model(src_tokens=sentences(rank), n_distil=3, masked_positions=masked)
    logits = output["mlm_logits"]
    return output["embedding"].sum() + (0.0 if logits is None else logits.logsumexp(-1).sum())


def main(store, rank, processes, output):
    model, wrapped = student(), None
    if processes > 1:
        init_process_group("gloo", store=FileStore(store, processes), rank=rank, world_size=processes)
        wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
    for update in range(3):
        optimizer.zero_grad()
        ranks = [rank] if wrapped else [0, 1]
        # Their mean, as DistributedDataParallel takes it.
        (sum(loss_of(wrapped or model, each, update) for each in ranks) / len(ranks)).backward()
        optimizer.step()
    torch.save(model.state_dict(), output)
    if wrapped:
        destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
