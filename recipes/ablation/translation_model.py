"""LASER2's encoder and a decoder that sees nothing but its sentence vector, to be trained together by translation."""

from dataclasses import dataclass
from typing import Iterator, List, NamedTuple, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_distill.formats.dictionary import EOS, PAD
from fairseq_distill.modules.lstm import LstmEncoder, LstmShape

MOST_PIECES = 40  # of a sentence on either side; longer ones are left out


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of the decoder, which is thrown away after training."""

    vocabulary: int
    languages: int
    hidden: int = 256


class Pairs(NamedTuple):
    """Sentences as ids: ``src[i]`` and ``tgt[i]`` are translations, EOS at their ends; ``language`` int64 [N] of the target."""

    src: List[np.ndarray]
    tgt: List[np.ndarray]
    language: np.ndarray


class TranslationModel(nn.Module):
    """Source ids to a sentence vector, and from the vector and the target's language to the pieces of the translation.

    The pieces are predicted without their order, each from the vector alone: with a decoder that writes one piece after the
    other, as the first LASER had (Artetxe and Schwenk 2019), minutes of training teach the decoder to go on from the pieces
    before, and the vector little.
    """

    def __init__(self, encoder: LstmShape, decoder: DecoderShape):
        super().__init__()
        self.encoder = LstmEncoder(encoder)
        self.embed_languages = nn.Embedding(decoder.languages, decoder.hidden)
        self.widen = nn.Linear(encoder.output_dim, decoder.hidden)
        self.predict = nn.Linear(decoder.hidden, decoder.vocabulary)

    def forward(self, src: Tensor, lengths: Tensor, tgt: Tensor, language: Tensor) -> Tensor:
        """Mean cross-entropy of the targets' pieces, in nats.

        Args:
            src: int64 [B, S], padded on the right.
            lengths: int64 [B], of ``src``, on the CPU.
            tgt: int64 [B, T], padded on the right.
            language: int64 [B], of ``tgt``.
        """
        vector = self.encoder(src, lengths)  # [B, E]
        hidden = F.relu(self.widen(vector) + self.embed_languages(language))
        predicted = F.log_softmax(self.predict(hidden), dim=1)  # [B, V]
        real = tgt.ne(PAD)
        return -(predicted.gather(1, tgt) * real).sum() / real.sum()


def padded(rows: List[np.ndarray]) -> Tensor:
    """int64 [B, T], padded on the right."""
    tokens = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids
    return torch.from_numpy(tokens)


def epoch_batches(pairs: Pairs, max_tokens: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices of every pair once, in random batches of similar length whose padded sides hold at most ``max_tokens`` each."""
    lengths = np.array([max(len(src), len(tgt)) for src, tgt in zip(pairs.src, pairs.tgt)], dtype=np.int64)
    order = np.argsort(lengths + rng.uniform(0, 3, len(lengths)), kind="stable")[
        ::-1
    ]  # not the same batches each epoch
    batches, start = [], 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths[order[start : start + max_tokens]].max(initial=1)))
        batches.append(order[start : start + size])
        start += size
    for number in rng.permutation(len(batches)):
        yield batches[number]


def batch_of(pairs: Pairs, chosen: np.ndarray, device: torch.device) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """What :meth:`TranslationModel.forward` takes, for some pairs; the lengths stay on the CPU, as LSTMs want them."""
    src = [pairs.src[index] for index in chosen]
    lengths = torch.tensor([len(ids) for ids in src])
    tgt, language = padded([pairs.tgt[index] for index in chosen]), torch.from_numpy(pairs.language[chosen])
    return padded(src).to(device), lengths, tgt.to(device), language.to(device)


def train(
    model: TranslationModel, pairs: Pairs, updates: int, rate: float, max_tokens: int, seed: int
) -> Iterator[float]:
    """Train with Adam, the rate rising over a twentieth of the updates and then falling to zero; the loss of each update."""
    assert all(ids[-1] == EOS for ids in pairs.src[:1] + pairs.tgt[:1])
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-6)
    warmup = max(1, updates // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: min((update + 1) / warmup, (updates - update) / max(1, updates - warmup))
    )
    rng, update = np.random.default_rng(seed), 0
    model.train()
    while update < updates:
        for chosen in epoch_batches(pairs, max_tokens, rng):
            loss = model(*batch_of(pairs, chosen, model.widen.weight.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            yield float(loss.detach())
            update += 1
            if update == updates:
                return
