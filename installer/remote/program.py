"""The program for the other machine: the modules that write here, in one piece that needs nothing but Python there."""

from __future__ import annotations

import zlib
from pathlib import Path

_TOP = Path(__file__).parents[2]
OLDEST_PYTHON = (3, 9)
TOO_OLD = 90  # exit status
MODULES = (
    *("hardware", "hardware.host", "installer", "installer.flash", "installer.remote"),
    *("hardware.host.disks", "hardware.host.errors", "hardware.host.files", "hardware.host.run"),
    *("installer.flash.ahead", "installer.flash.disk", "installer.flash.earlier", "installer.flash.machine"),
    *("installer.flash.mark", "installer.flash.table", "installer.flash.target", "installer.flash.write"),
    *("installer.remote.far", "installer.remote.wire"),
)

# The only thing in its arguments. Its login shell may be any: one line, and nothing in it that a shell would expand.
# -I and -S: whatever else Python finds there is not ours.
START = (
    f"python3 -IS -c 'import sys,zlib;sys.version_info<{OLDEST_PYTHON} and sys.exit({TOO_OLD});"
    'f=open(0,"rb",closefd=False);exec(zlib.decompress(f.read(int(f.readline()))))\''
)

# Modules that are not files: they are found in SOURCES.
_IMPORTER = """
import importlib.abc, importlib.util, sys

class Sent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name in SOURCES:
            package = any(other.startswith(name + ".") for other in SOURCES)
            return importlib.util.spec_from_loader(name, self, is_package=package)

    def exec_module(self, module):
        exec(compile(SOURCES[module.__name__], module.__name__, "exec"), module.__dict__)

sys.meta_path.insert(0, Sent())
from installer.remote import far
far.main(f)
"""


def program() -> bytes:
    """What `START` reads first: its length in a line, and the program."""
    sources = {name: _source(name).read_text(encoding="utf-8") for name in MODULES}
    packed = zlib.compress(f"SOURCES = {sources!r}\n{_IMPORTER}".encode(), 9)
    return b"%d\n%s" % (len(packed), packed)


def _source(name: str) -> Path:
    path = _TOP.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
