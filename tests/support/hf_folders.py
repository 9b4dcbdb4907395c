"""Tiny random Hugging Face folders of every family, with tokenizers trained on a few sentences."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from lightpaff_fairseq.huggingface.hf_folder import transformers_package

TEXT = [
    "the cat sat on the mat",
    "a dog ate my homework, twice!",
    "naive thoughts: 12 and 34",
    "the theme of the thesis",
]
ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 42,
}
SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 40,
}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
NAMES = dict(
    zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL),
    mask_token="<mask>",
    cls_token="<s>",
    sep_token="</s>",
)
T = transformers_package()


def random_model(model_class: Any, config: Any, zero: str = "token_type_embeddings") -> Any:
    """Build a model, the same in every run, with noise: no bias is zero and no gain is one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        model = model_class(config)
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
            if zero and zero in name:
                weight.zero_()
    return model.eval()


@cache
def byte_bpe(specials: tuple[str, ...]) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(specials),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 5, trainer)
    if "<s>" in specials:
        ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
        )
    return tokenizer


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def roberta(folder: Path, kind: str = "ForMaskedLM", zero: str = "token_type", **more: Any) -> Path:
    tokenizer = byte_bpe((*SPECIAL, "<mask>"))
    config = T.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        **{**ENCODER, "type_vocab_size": 1, "layer_norm_eps": 1e-5, **more},
    )
    model = random_model(getattr(T, f"Roberta{kind}"), config, zero)
    return save(folder, model, T.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES))


def classifier(folder: Path) -> Path:
    return roberta(folder, "ForSequenceClassification", num_labels=3)


def bart(folder: Path, **more: Any) -> Path:
    tokenizer = byte_bpe((*SPECIAL, "<mask>"))
    config = T.BartConfig(vocab_size=tokenizer.get_vocab_size(), **{**SEQ2SEQ, **more})
    model = random_model(T.BartForConditionalGeneration, config)
    return save(folder, model, T.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES))


def scaled_bart(folder: Path) -> Path:
    return bart(folder, scale_embedding=True)


def gpt2(folder: Path, **more: Any) -> Path:
    end = "<|endoftext|>"
    tokenizer = byte_bpe((end,))
    config = T.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        **{"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40, **more},
        bos_token_id=0,
        eos_token_id=0,
    )
    fast = T.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end
    )
    return save(folder, random_model(T.GPT2LMHeadModel, config), fast)


def pieces_of_bert() -> list[str]:
    letters = sorted({letter for line in TEXT for letter in line if letter != " "})
    words = ["the", "cat", "##me", "##at"]
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return special + letters + [f"##{letter}" for letter in letters] + words


def word_pieces(folder: Path) -> int:
    """Write a tokenizer of BERT; return its size."""
    pieces = pieces_of_bert()
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return len(pieces)


def bert(folder: Path, kind: str = "ForMaskedLM", zero: str = "", name: str = "Bert") -> Path:
    size = word_pieces(folder)
    options = {**ENCODER, "hidden_size": 128, "embedding_size": 128}
    config = getattr(T, f"{name}Config")(vocab_size=size, **options)
    random_model(getattr(T, f"{name}{kind}"), config, zero).save_pretrained(folder)
    return folder


def bert_classifier(folder: Path) -> Path:
    return bert(folder, "ForSequenceClassification")


def electra(folder: Path, kind: str = "ForSequenceClassification") -> Path:
    return bert(folder, kind, name="Electra")


def distilbert(folder: Path, kind: str = "ForMaskedLM") -> Path:
    options = {"dim": 128, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}  # width: as of `bert`
    options |= {"vocab_size": word_pieces(folder), "max_position_embeddings": 42}
    config = T.DistilBertConfig(**options)
    random_model(getattr(T, f"DistilBert{kind}"), config, "").save_pretrained(folder)
    return folder


def _sentencepiece(folder: Path, kind: str) -> list[str]:
    """Trains a model in `folder` and returns its pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text").write_text("\n".join(TEXT * 5))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "m"),
        vocab_size=60,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    for name in ("text", "m.vocab"):
        (folder / name).unlink()
    model = sentencepiece.SentencePieceProcessor(str(folder / "m.model"))
    return [model.id_to_piece(i) for i in range(len(model))]


def _with_pieces(folder: Path, tokenizer: str, config: dict[str, Any], *files: str) -> list[str]:
    pieces = _sentencepiece(folder, "bpe" if tokenizer == "NllbTokenizer" else "unigram")
    for name in files or ("sentencepiece.bpe.model",):
        shutil.copy(folder / "m.model", folder / name)
    (folder / "m.model").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": tokenizer, **config})
    )
    return pieces


def xlm_r(folder: Path, kind: str = "ForMaskedLM") -> Path:
    pieces = _with_pieces(folder, "XLMRobertaTokenizer", {})
    config = T.XLMRobertaConfig(
        vocab_size=len(pieces) + 2, **ENCODER, type_vocab_size=1, layer_norm_eps=1e-5
    )
    random_model(getattr(T, f"XLMRoberta{kind}"), config).save_pretrained(folder)
    return folder


def _as_large_as_tokenizer(folder: Path, kind: str, tokenizer: str, **more: Any) -> Path:
    loaded = getattr(T, tokenizer).from_pretrained(folder)
    ids = [*loaded.get_vocab().values(), *getattr(loaded, "lang_token_to_id", {}).values()]
    options = {**SEQ2SEQ, "scale_embedding": True, **more}
    config = getattr(T, f"{kind}Config")(vocab_size=max(ids) + 3, **options)
    random_model(getattr(T, f"{kind}ForConditionalGeneration"), config).save_pretrained(folder)
    return folder


def mbart(folder: Path) -> Path:
    _with_pieces(folder, "MBartTokenizer", {})
    return _as_large_as_tokenizer(folder, "MBart", "MBartTokenizer")


def mbart50(folder: Path) -> Path:
    _with_pieces(folder, "MBart50Tokenizer", {"src_lang": "en_XX", "tgt_lang": "de_DE"})
    return _as_large_as_tokenizer(folder, "MBart", "MBart50Tokenizer", decoder_start_token_id=2)


def nllb(folder: Path) -> Path:
    languages = {"additional_special_tokens": ["eng_Latn", "deu_Latn"]}
    _with_pieces(folder, "NllbTokenizer", languages)
    return _as_large_as_tokenizer(folder, "M2M100", "NllbTokenizer")


def m2m(folder: Path) -> Path:
    pieces = _with_pieces(folder, "M2M100Tokenizer", {})
    ids = {piece: i for i, piece in enumerate([*SPECIAL, *pieces[3:]])}
    (folder / "vocab.json").write_text(json.dumps(ids))
    return _as_large_as_tokenizer(folder, "M2M100", "M2M100Tokenizer")


def marian(folder: Path) -> Path:
    languages = {"source_lang": "a", "target_lang": "b"}
    pieces = _with_pieces(folder, "MarianTokenizer", languages, "source.spm", "target.spm")
    ids = {piece: i for i, piece in enumerate(["</s>", "<unk>", *pieces[3:], "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(ids))
    pad = len(ids) - 1
    config = T.MarianConfig(
        vocab_size=len(ids),
        **SEQ2SEQ,
        activation_function="swish",  # as all OPUS-MT models have it
        scale_embedding=True,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    model = random_model(T.MarianMTModel, config)
    model.final_logits_bias.normal_(generator=torch.Generator().manual_seed(2))
    model.save_pretrained(folder)
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "roberta": roberta,
    "classifier": classifier,
    "xlm-r": xlm_r,
    "bert": bert,
    "bert classifier": bert_classifier,
    "bert pairs": bert_classifier,
    "electra": electra,
    "distilbert": distilbert,
    "gpt2": gpt2,
    "bart": bart,
    "scaled bart": scaled_bart,
    "mbart": mbart,
    "mbart50": mbart50,
    "nllb": nllb,
    "m2m": m2m,
    "marian": marian,
}
LANGUAGES = {
    "mbart": ("en_XX", "de_DE"),
    "mbart50": ("en_XX", "de_DE"),
    "nllb": ("eng_Latn", "deu_Latn"),
    "m2m": ("en", "de"),
}
FOLDED = ("bert", "bert classifier")  # converted with --segment 0
REVERSIBLE = [name for name in MAKERS if name not in (*FOLDED, "marian")]
