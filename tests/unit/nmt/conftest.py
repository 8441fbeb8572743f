"""The programs of recipes/ and recipes/nmt find each other in their own folders; so do the tests."""

import sys
from pathlib import Path

REPO = Path(__file__).parents[3]
for folder in ("data_prep", "recipes", "recipes/nmt"):
    sys.path.insert(0, str(REPO / folder))
