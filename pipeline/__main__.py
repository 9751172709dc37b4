"""`python -m pipeline`; see run.py."""

import sys

from pipeline.run import main

sys.exit(main())
