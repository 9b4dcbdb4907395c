"""Train tiny models with flags that reach the repairs, and print what came out.

    plain_runs.py PARALLEL MONOLINGUAL OUT [plugin]

Without the last word this process never imports the plug-in: its results are plain fairseq's.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import train

SMALL = "--arch transformer --encoder-embed-dim 8 --decoder-embed-dim 8 --encoder-layers 1"
SMALL += " --decoder-layers 1 --encoder-attention-heads 1 --decoder-attention-heads 1"
PAIRS = f"--task translation --source-lang sv --target-lang en --upsample-primary 1 {SMALL}"
LM = "--arch transformer_lm --decoder-embed-dim 8 --decoder-layers 1 --decoder-attention-heads 1"
BERT = "--arch roberta --encoder-embed-dim 8 --encoder-layers 1 --encoder-attention-heads 1"
ALL = "--batch-size 4 --required-batch-size-multiple 1"
# test_batching_flags.py compares batches. Plain fairseq drops none: 40 sentences are 5 times 8.
RUNS = {
    "buckets": (0, f"{PAIRS} --max-tokens 60 --num-batch-buckets 3"),
    "multilingual": (
        0,
        "--task multilingual_translation --lang-pairs sv-en --arch multilingual_transformer "
        f"{SMALL.removeprefix('--arch transformer')} --batch-size 8",
    ),
    "language model": (1, f"--task language_modeling {LM} --tokens-per-sample 9 {ALL}"),
    "masks": (1, f"--task masked_lm {BERT} --tokens-per-sample 9 {ALL} --mask-prob 0.3"),
    "gelu": (0, f"{PAIRS} --activation-fn gelu --batch-size 8"),
}
COMMON = (
    "--criterion cross_entropy --optimizer adam --lr 0.01 --max-epoch 1 --cpu --num-workers 0 "
    "--log-format none --no-progress-bar --seed 3 --keep-best-checkpoints 1"
)


def trained(data, flags, folder):
    """Train; return digests of every checkpoint's tensors."""
    parser = options.get_training_parser()
    criterion = "masked_lm" if "masked_lm" in flags else "cross_entropy"
    words = [data, *COMMON.replace("cross_entropy", criterion).split(), *flags.split()]
    args = options.parse_args_and_arch(parser, [*words, "--save-dir", folder])
    train.main(convert_namespace_to_omegaconf(args))
    return {path.name: digest(path) for path in sorted(Path(folder).glob("*.pt"))}


def digest(path):
    # a file of this process: plain fairseq allow-lists none of its own classes
    tensors = torch.load(path, map_location="cpu", weights_only=False)["model"]
    parts = b"".join(name.encode() + x.numpy().tobytes() for name, x in sorted(tensors.items()))
    return hashlib.sha256(parts).hexdigest()


if __name__ == "__main__":
    *places, out = sys.argv[1:4]
    if sys.argv[4:]:
        import lightpaff_fairseq  # noqa: F401
    results = {}
    for name, (place, flags) in RUNS.items():
        train.checkpoint_utils.save_checkpoint.__dict__.clear()  # the best of the run before
        try:
            results[name] = trained(places[place], flags, f"{out}/{name}")
        except Exception as error:
            results[name] = repr(error)
    assert ("lightpaff_fairseq" in sys.modules) == bool(sys.argv[4:])
    Path(out, "results.json").write_text(json.dumps(results))
