"""`python -m s3archivefs.cli`, where no script is installed."""

from __future__ import annotations

import sys

from s3archivefs.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
