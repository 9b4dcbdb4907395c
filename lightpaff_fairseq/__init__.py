"""Knowledge distillation for fairseq: pass this folder to `--user-dir`.

Importing the package registers its criterions, models and tasks with fairseq, and repairs what
fairseq needs on current Python and PyTorch (`compat`), as soon as fairseq is imported too.
"""

from .registration import register_with_fairseq

__version__ = "0.2.0"

register_with_fairseq()
