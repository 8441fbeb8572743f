"""Word alignment with dictionaries and loops: model 1 both ways, posteriors multiplied, nearness of place."""

import math
from collections import Counter, defaultdict


def align(pairs, iterations, diagonal, null, limit):
    """{(piece, word): expected count} for pairs of lists."""
    pairs = [(pieces[:limit], words[:limit]) for pieces, words in pairs]
    piece_share, word_share = Counter(), Counter()
    for pieces, words in pairs:
        piece_share.update(pieces)
        word_share.update(words)
    n_pieces, n_words = sum(piece_share.values()), sum(word_share.values())
    forward, backward = defaultdict(lambda: 1.0), defaultdict(lambda: 1.0)
    for step in range(iterations):
        counts = defaultdict(float)
        for pieces, words in pairs:
            near = {
                (i, j): math.exp(-diagonal * abs(i / len(pieces) - j / len(words)))
                for i in range(len(pieces))
                for j in range(len(words))
            }
            for i, piece in enumerate(pieces):
                for j, word in enumerate(words):
                    of_word = sum(forward[other, word] * near[k, j] for k, other in enumerate(pieces))
                    of_piece = sum(backward[piece, other] * near[i, k] for k, other in enumerate(words))
                    if step:
                        of_word += null * len(pieces) * word_share[word] / n_words
                        of_piece += null * len(words) * piece_share[piece] / n_pieces
                    share = forward[piece, word] * near[i, j] / of_word * backward[piece, word] * near[i, j] / of_piece
                    counts[piece, word] += share
        pieces_total, words_total = Counter(), Counter()
        for (piece, word), count in counts.items():
            pieces_total[piece] += count
            words_total[word] += count
        for (piece, word), count in counts.items():
            forward[piece, word] = count / pieces_total[piece]
            backward[piece, word] = count / words_total[word]
    return dict(counts)
