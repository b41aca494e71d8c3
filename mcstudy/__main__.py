"""``python -m mcstudy`` is the command line."""

import sys

from mcstudy.cli import main

sys.exit(main())
