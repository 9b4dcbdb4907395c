"""A tokenizer for transformers that reads what fairseq reads: symbols separated by spaces."""

from pathlib import Path
from typing import Any

from fairseq.data import Dictionary

from ..packages import transformers_package

SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
ENDS = {"roberta": "<s> $A </s>", "gpt2": "</s> $A"}  # fairseq's language models start with </s>


def write_tokenizer(dictionary: Dictionary, model_type: str, folder: Path) -> None:
    """Writes a tokenizer with the dictionary's numbers, that adds what fairseq's tasks add.

    It does not split words: as for fairseq, the text is encoded into symbols before.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {symbol: i for i, symbol in enumerate(dictionary.symbols)}
    backend: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single=ENDS.get(model_type, "$A </s>"), special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    more = {"mask_token": "<mask>"} if "<mask>" in vocabulary else {}
    tokenizer = transformers_package().PreTrainedTokenizerFast(
        tokenizer_object=backend, **SPECIAL, **more
    )
    tokenizer.save_pretrained(folder)
