"""For MkDocs: adds the pages of the API reference, which are made at build time."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generate import reference
from mkdocs.structure.files import File


def on_config(config: Any) -> Any:
    """The navigation ends with the reference."""
    config.nav.append({"API reference": reference.navigation()})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Every page of the reference, as if it stood in ``docs``."""
    for path, text in reference.pages():
        files.append(File.generated(config, path, content=text))
    return files
