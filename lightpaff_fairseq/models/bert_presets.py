"""BERT architectures: fairseq's own model `roberta` (BERT without segment embeddings).

A teacher of BERT-base's size is fairseq's `roberta_base`. The students, with their parameters at
BERT's vocabulary of 30,522 tokens and at RoBERTa's of 50,265 (512 positions, head included):

    roberta_student   3 x 512 x 8 heads    25,642,810    35,770,969
    roberta_10x512   10 x 512 x 8 heads    47,709,498    57,837,657
    roberta_6x512     6 x 512 x 8 heads    35,099,962    45,228,121
    roberta_6x256     6 x 256 x 4 heads    12,781,114    17,855,065
    roberta_6x128     6 x 128 x 2 heads     5,209,786     7,756,633

`roberta_student` is LightPAFF's BERT student, reconstructed from its count of 25.6 M. The other
four are the hand-made students of two-stage distillation that NAS-BERT compares with, which it
calls 60, 30, 10 and 5 M: its layers, widths and heads, an FFN of four widths assumed. No one
vocabulary gives all four of these names (60 M would take about 54,500 tokens, 30 M about 20,600,
10 M about 19,700, 5 M about 28,900): read them as classes of size, and compare by the counts above.

`roberta_small` and `roberta_tiny` are a teacher and a student for CPUs: the student is 5.1 times
smaller at 8,192 tokens and 6.5 times at 4,096, embeddings included.

The table of positions has 512 rows unless `--max-positions` says otherwise (stock `roberta_base`
takes `--tokens-per-sample`), so that pre-training on shorter samples fits later fine-tuning.
"""

from functools import partial
from typing import Any

from fairseq.models.roberta.model import base_architecture

from .stock_architectures import Preset, register_on_stock_model, set_defaults

POSITIONS = 512


PRESETS = {
    "student": Preset(layers=3, width=512, heads=8, ffn=2048),
    "10x512": Preset(layers=10, width=512, heads=8, ffn=2048),
    "6x512": Preset(layers=6, width=512, heads=8, ffn=2048),
    "6x256": Preset(layers=6, width=256, heads=4, ffn=1024),
    "6x128": Preset(layers=6, width=128, heads=2, ffn=512),
    "small": Preset(layers=4, width=256, heads=4, ffn=1024),
    "tiny": Preset(layers=2, width=96, heads=4, ffn=384),
}


def apply_preset(args: Any, preset: Preset) -> None:
    """Set every model value that the user did not set: to the preset's, or else the stock value.

    Args:
        args: a Namespace or an open DictConfig with flat names; changed in place.
    """
    values = {
        "encoder_layers": preset.layers,
        "encoder_embed_dim": preset.width,
        "encoder_ffn_embed_dim": preset.ffn,
        "encoder_attention_heads": preset.heads,
        "max_positions": POSITIONS,
    }
    set_defaults(args, values)
    base_architecture(args)


for _name, _preset in PRESETS.items():
    register_on_stock_model("roberta", f"roberta_{_name}", partial(apply_preset, preset=_preset))
