"""The MASS model and the presets of all families; importing this registers them with fairseq."""

from . import bert_presets as bert  # noqa: F401
from . import gpt2_presets as gpt2
from . import mass
from . import presets as students
