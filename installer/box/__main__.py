"""`python3 -m installer.box` is the command `postern`."""

import sys

from installer.box.cli import main

sys.exit(main(sys.argv[1:]))
