"""The losses where fairseq cannot be imported: the public names, and the documented example."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from lightpaff_fairseq import losses

ROOT = Path(losses.__file__).parents[2]

NO_FAIRSEQ = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "fairseq":
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import lightpaff_fairseq.losses
"""

COMPARE = """
import math, torch
from lightpaff_fairseq.losses import *

torch.manual_seed(1)
hidden_s = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
head_s = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
hidden_t, head_t = torch.randn(6, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
target = torch.tensor([0, 4, 2, 2, 1, 3])
student, teacher = LinearOutput(hidden_s, head_s), LinearOutput(hidden_t, head_t)
settings = LossSettings(kd_lambda=0.3, temperature=2.0, chunk_tokens=4)
fused = fused_distillation_loss(student, teacher, target, settings)
dense = dense_distillation_loss(student.logits(), teacher.logits(), target, settings)

naive = 0.0
for z_s, z_t, y in zip(student.logits().tolist(), teacher.logits().tolist(), target.tolist()):
    def softmax(z, t):
        weights = [math.exp(x / t) for x in z]
        return [w / sum(weights) for w in weights]
    kl = sum(p * math.log(p / q) for p, q in zip(softmax(z_t, 2), softmax(z_s, 2)))
    naive += 0.7 * -math.log(softmax(z_s, 1)[y]) + 0.3 * 4 * kl
for terms in (fused, dense):
    assert abs(terms.loss.item() - naive) < 1e-12 * naive, (terms, naive)
for a, b in zip(*(torch.autograd.grad(x.loss, [hidden_s, head_s]) for x in (fused, dense))):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
"""


LOADED = """
assert "fairseq" not in sys.modules
print([name.split(".")[1] for name in sys.modules if name.startswith("lightpaff_fairseq.")])
"""


def documented_example() -> str:
    lines = losses.__doc__.splitlines()
    lines = [line[4:] for line in lines[lines.index("    import torch") :]]
    end = next(i for i, line in enumerate(lines) if line.startswith("print"))
    assert end > 12
    return "\n".join(lines[: end + 1]).replace("32000", "300").replace("2048", "40")


@pytest.mark.slow
def test_the_losses_and_their_documented_example_need_pytorch_alone():
    code = "\n".join([NO_FAIRSEQ, COMPARE, documented_example(), LOADED])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    example, modules = done.stdout.splitlines()
    assert example.count("tensor(") == 2
    modules = set(ast.literal_eval(modules))
    assert "losses" in modules and modules <= {"losses", "problems", "registration"}


def test_every_public_name_exists_and_is_documented():
    assert len(losses.__all__) == len(set(losses.__all__)) >= 20
    for name in losses.__all__:
        value = getattr(losses, name)
        assert isinstance(value, dict) or value.__doc__, name
