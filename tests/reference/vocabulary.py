"""Counts of how a SentencePiece model cuts text, one sentence and one word at a time."""

import unicodedata

from fairseq_distill.text import normalise


def letter(character):
    return unicodedata.category(character)[0] in "LMN"


def words_of(spm, line):
    """A line's pieces word by word: (piece, id); a piece that begins with ▁, or the first one, begins a word."""
    words = []
    line = normalise(line)
    for piece, number in zip(spm.encode(line, out_type=str), spm.encode(line, out_type=int)):
        if not words or piece.startswith("▁"):
            words.append([])
        words[-1].append((piece.replace("▁", ""), number))
    return words


def count(spm, lines, known, frequency, least):
    """The counts of ``PieceCounts`` by name; ``known`` says of an id whether the dictionary holds it."""
    found = dict.fromkeys(
        "units characters pieces unknown_pieces unknown_characters single_pieces words whole_words rare_pieces".split(),
        0,
    )
    seen, spelled = set(), set()
    for line in lines:
        found["units"] += len(line.split())
        for word in words_of(spm, line):
            lettered = [(text, number) for text, number in word if any(map(letter, text))]
            found["words"] += bool(lettered)
            found["whole_words"] += len(lettered) == 1 and known(lettered[0][1])
            for text, number in word:
                found["pieces"] += 1
                found["characters"] += len(text)
                found["rare_pieces"] += frequency[number] < least
                seen |= set(text)
                if known(number):
                    found["single_pieces"] += len(text) < 2
                    spelled |= set(text)
                else:
                    found["unknown_pieces"] += 1
                    found["unknown_characters"] += len(text)
    return {**found, "distinct_characters": len(seen), "covered_characters": len(spelled)}
