"""Check the settings before anything is stopped: `python -m dev.stack.settings_check` prints a line for each bad one.

The code that reads them is that of the running programs.
"""

import logging
import os
import sys

from app.settings import Settings
from docker.check_settings import OF_PIPELINE, faults
from pipeline.settings import owner_url

READERS = (owner_url, *OF_PIPELINE, Settings.from_environment)


if __name__ == "__main__":
    logging.disable()  # the running programs log the warnings
    if found := faults(os.environ, READERS):
        sys.exit("\n".join(found))
