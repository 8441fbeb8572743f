"""Words that a shell script reads with mapfile: one a line."""

from typing import Sequence

from fairseq_distill.errors import ConfigError


def print_words(words: Sequence[str]) -> None:
    """Print them, one a line.

    Raises:
        ConfigError: one holds a line feed, and would become two.
    """
    for word in words:
        if "\n" in word:
            raise ConfigError(f"{word!r} holds a line feed, which the shell scripts cannot hand on; give another name.")
    print("\n".join(words))
