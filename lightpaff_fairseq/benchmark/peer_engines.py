"""Run translation models of CTranslate2 and Hugging Face from text to text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq.data.data_utils import post_process

from ..export.engines import Search, tokens_of
from ..export.export_quality import subwords_of
from ..export.loaded_model import LoadedModel
from ..export.sample_batches import Sample
from ..huggingface.hf_folder import transformers_package

TEXT, TOKENS = "source_text", "source_tokens"  # keys of samples: one line per sentence


def add_source_lines(
    batches: Sequence[Sample], student: LoadedModel, remove_bpe: str | None
) -> None:
    """Add the source sentences to samples: as text, and as the student's tokens."""
    dictionary = student.task.source_dictionary
    kind = remove_bpe or subwords_of(dictionary)
    for batch in batches:
        rows = batch["net_input"]["src_tokens"]
        batch[TOKENS] = [" ".join(tokens_of(row, dictionary)) for row in rows]
        batch[TEXT] = [post_process(line, kind) for line in batch[TOKENS]]


class CTranslate2Peer:
    """A folder of CTranslate2 with SentencePiece models, or for text that is tokenized already."""

    def __init__(self, folder: Path, pieces: Sequence[Path], search: Search, device: str) -> None:
        import ctranslate2
        import sentencepiece

        threads = torch.get_num_threads()
        self.translator = ctranslate2.Translator(str(folder), device=device, intra_threads=threads)
        self.search, self.has_shortlist = search, (folder / "vmap.txt").is_file()
        self.is_tokenized = not pieces
        self.pieces = [sentencepiece.SentencePieceProcessor(str(path)) for path in pieces]
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        # OPUS-MT models need an end of sentence, which CTranslate2 adds for other converters only
        is_opus = len(pieces) > 1 and not config.get("add_source_eos")
        self.end = ["</s>"] if is_opus else []

    def run(self, sample: Sample) -> list[str]:
        """Return the translations of a batch with source lines."""
        results = self.translator.translate_batch(
            self._encode(sample),
            beam_size=self.search.beam,
            max_decoding_length=self.search.longest,
            max_input_length=0,
            use_vmap=self.has_shortlist,
        )
        best = [result.hypotheses[0] for result in results]
        if not self.pieces:
            return [" ".join(tokens) for tokens in best]
        return [self.pieces[-1].decode(tokens) for tokens in best]

    def _encode(self, sample: Sample) -> list[list[str]]:
        if not self.pieces:
            return [line.split(" ") for line in sample[TOKENS]]
        rows = self.pieces[0].encode(sample[TEXT], out_type=str)
        return [[*row, *self.end] for row in rows]


class HuggingFacePeer:
    """A sequence-to-sequence model of transformers with its tokenizer."""

    is_tokenized = False

    def __init__(self, folder: Path, search: Search, device: str) -> None:
        transformers = transformers_package()
        self.search, self.device = search, device
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True
        )
        model: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(
            str(folder), local_files_only=True
        )
        self.model = model.eval().float().to(device)

    @torch.no_grad()
    def run(self, sample: Sample) -> list[str]:
        """Return the translations of a batch with source lines."""
        inputs = self.tokenizer(sample[TEXT], return_tensors="pt", padding=True, truncation=True)
        outputs = self.model.generate(
            **inputs.to(self.device),
            num_beams=self.search.beam,
            do_sample=False,
            max_new_tokens=self.search.longest,
        )
        texts: list[str] = self.tokenizer.batch_decode(outputs, skip_special_tokens=True)
        return texts


PeerEngine = CTranslate2Peer | HuggingFacePeer
