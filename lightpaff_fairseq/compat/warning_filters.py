"""Filters for warnings that users cannot act on."""

import warnings

from .patching import change


@change("warnings.filters")
def filter_known_warnings() -> None:
    """Silence warnings about fairseq's and hydra's own code."""
    by_message = [
        (r".*torch\.cuda\.amp\.autocast.*", FutureWarning),
        (r".*'pin_memory' argument is set as true.*", UserWarning),
        (r".*mismatched key_padding_mask and attn_mask.*", UserWarning),
        (r"\s*'[^']+' is validated against ConfigStore", UserWarning),
    ]
    for message, category in by_message:
        warnings.filterwarnings("ignore", message=message, category=category)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"hydra\.")  # its deprecations
