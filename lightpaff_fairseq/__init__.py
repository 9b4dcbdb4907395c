"""Knowledge distillation for fairseq: hand this folder to `--user-dir`.

Importing it registers names with fairseq and repairs what fairseq 0.12 needs on current Python and
PyTorch (`compat`); it computes nothing.
"""

import logging

# `lightpaff` commands: one of fairseq's tasks asks for tensorboardX while it is imported
logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

from . import compat  # noqa: E402

compat.apply()

from . import criterions, models, tasks  # noqa: E402, F401

__version__ = "0.1.0"
