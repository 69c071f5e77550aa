"""What a service of ours is started with: the rendered file that its unit names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hardware.host import documents
from hardware.host.documents import Document
from hardware.host.errors import Refused


def configuration(program: str, about: str | None, model: type[Document]) -> Document | None:
    """The value of that file; None when it is only to be read (`--check`, by which apply asks beforehand).

    Ends the program with every problem when it cannot be.
    """
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("file", type=Path, help="the rendered configuration")
    parser.add_argument("--check", action="store_true", help="only read it")
    arguments = parser.parse_args()
    try:
        found = documents.read(arguments.file, model)
    except Refused as refused:
        sys.exit(str(refused))
    return None if arguments.check else found
