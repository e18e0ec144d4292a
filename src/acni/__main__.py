"""``python -m acni``: the command."""

import sys

from acni.cli import main

sys.exit(main())
