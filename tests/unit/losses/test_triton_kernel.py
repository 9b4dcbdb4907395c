"""The Triton kernels against a float64 reference, and compiled for a GPU.

They run in Triton's interpreter (`tests/conftest.py` asks for it), on a GPU if there is one. What
the interpreter cannot show: speed, races within a row, and the rounding to bfloat16, for it
truncates.
"""

import os
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings, strategies

from lightpaff_fairseq.losses import (
    DIVERGENCES,
    Divergence,
    LinearOutput,
    LossSettings,
    TopKOutput,
    fused_distillation_loss,
)
from lightpaff_fairseq.losses import kernel_choice as choice
from lightpaff_fairseq.losses.chunk import Labels, chunk_loss
from loss_cases import (
    REQUESTS,
    TAILS,
    as_float64,
    assert_near,
    gradients,
    heads,
    naive_loss,
    pairwise,
    with_tail,
)

# where the extra `triton` is not installed, there is no kernel to test
triton_chunk = pytest.importorskip("lightpaff_fairseq.losses.triton_chunk")

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# relative to the largest value; the interpreter truncates to bfloat16's 8 bits
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}
OPTIONS = ((1.0, 0.0, 256), (1.0, 0.1, 5), (2.5, 0.1, 7), (0.5, 0.0, 9))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")  # numpy's, of -inf


def chunk_of(logits_s, teacher, target, options):
    """Values per position and gradient in float64, and the exact ones of `chunk.py`."""
    logits_s, teacher, target = (x.to(DEVICE) for x in (logits_s, teacher, target))
    labels, work = Labels(target, None), torch.empty_like(logits_s, dtype=torch.float64)
    exact, gradient = chunk_loss((logits_s.double(), teacher.double(), work), None, labels, options)
    overwritten = logits_s.clone()
    sums = triton_chunk.triton_chunk_loss(overwritten, teacher, labels, options)
    assert torch.equal(sums.correct, exact.correct)
    scale = triton_chunk.gradient_scale(logits_s.dtype, options)
    observed = [*sums[:3], overwritten.double() / scale]
    return [x.cpu() for x in observed], [x.cpu() for x in (*exact[:3], gradient)]


def moved(output):
    """A copy on the device, with gradients where the original has them."""
    if isinstance(output, TopKOutput):
        return TopKOutput(output.ids.to(DEVICE), output.lprobs.to(DEVICE), output.vocab_size)
    tensors = (output.hidden, output.weight, output.bias)
    return LinearOutput(*(x.detach().to(DEVICE).requires_grad_(x.requires_grad) for x in tensors))


KINDS = [Divergence(name, 0.3) for name in DIVERGENCES]
CASES = pairwise(KINDS, TAILS, (0.0, 0.3, 1.0), OPTIONS, DTYPES)


@pytest.mark.slow
def test_every_divergence_tail_and_dtype_equals_a_naive_reference():
    cases = [case for case in CASES if case[1] != "drop" or case[0].finite_at_zero]
    assert {case[0].name for case in cases} == set(DIVERGENCES) and len(cases) >= 18
    for divergence, tail, lam, (temperature, epsilon, chunk), dtype in cases:
        student, teacher, target = heads(dtype)
        teacher = with_tail(teacher, temperature, tail)
        options = LossSettings(lam, temperature, epsilon, chunk, divergence, kernel="triton")
        reference = as_float64(student, grad=True)
        expected = naive_loss(reference.logits(), teacher, target, options)
        student, teacher = moved(student), moved(teacher)
        terms = fused_distillation_loss(student, teacher, target.to(DEVICE), options)
        for observed, value in zip(terms[:3], expected):
            limit = TOLERANCE[dtype]
            assert observed.item() == pytest.approx(value.item(), rel=limit, abs=10 * limit)
        observed = [x.cpu() for x in gradients(terms.loss, student)]
        assert_near(observed, gradients(expected[0], reference), TOLERANCE[dtype])


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    n=strategies.integers(1, 3),
    vocab=strategies.one_of(
        strategies.integers(2, 70), strategies.sampled_from([1023, 1024, 1025, 4095, 4097])
    ),
    divergence=strategies.sampled_from(REQUESTS),
    temperature=strategies.floats(0.25, 8),
    lam=strategies.floats(0, 1),
    seed=strategies.integers(0, 2**31),
)
def test_any_shape_equals_pytorch(n, vocab, divergence, temperature, lam, seed):
    generator = torch.Generator().manual_seed(seed)
    logits_s, logits_t = torch.randn(2, n, vocab, generator=generator) * 4
    target = torch.randint(vocab, (n,), generator=generator)
    options = LossSettings(lam, temperature, divergence=divergence)
    assert_near(*chunk_of(logits_s, logits_t, target, options), 3e-5)


@pytest.mark.slow
def test_a_vocabulary_of_200_000_tokens():
    generator = torch.Generator().manual_seed(5)
    logits_s, logits_t = torch.randn(2, 1, 200_001, generator=generator).bfloat16()
    options = LossSettings(0.5, divergence=Divergence("jsd", 0.3))
    observed, expected = chunk_of(logits_s, logits_t, torch.tensor([200_000]), options)
    assert_near(observed[:3], expected[:3], 1e-4)
    torch.testing.assert_close(observed[3], expected[3], rtol=1e-2, atol=1e-9)


def test_excluded_tokens_and_rows_of_nothing():
    """A token at -inf has no gradient; rows without a distribution are NaN, and no others."""
    generator = torch.Generator().manual_seed(6)
    logits_s, logits_t = torch.randn(2, 5, 40, generator=generator)
    logits_s[0, 3:9] = logits_t[0, 3:9] = -torch.inf  # both models
    logits_t[1, 20:] = -torch.inf  # the teacher
    logits_s[2], logits_t[3], logits_s[4, 7] = -torch.inf, torch.nan, torch.inf
    target = torch.tensor([1, 2, 3, 4, 5])
    for name in DIVERGENCES:
        options = LossSettings(0.5, 2.0, divergence=Divergence(name))
        observed, expected = chunk_of(logits_s, logits_t, target, options)
        assert observed[2][2:].isnan().all(), name
        for a, b in zip((x[:2] for x in observed), (x[:2] for x in expected)):
            known = b.isfinite()
            torch.testing.assert_close(a.double()[known], b[known], rtol=1e-4, atol=1e-5)
        assert not observed[3][0, 3:9].any() and observed[3][0].isfinite().all(), name


def test_float16_extremes_neither_overflow_nor_underflow():
    logits_s, logits_t = torch.zeros(2, 2, 300, dtype=torch.float16)
    logits_s[0, 0], logits_t[0, 0] = 20.0, 60000.0  # p of the others is exp(-20), 2e-9
    logits_s[1, 0], logits_t[1, 1] = 65504.0, 65504.0
    target = torch.tensor([0, 5])
    for name in ("forward_kl", "jsd", "tvd", "skew_kl"):
        options = LossSettings(1.0, divergence=Divergence(name))
        (*_, gradient), (*_, expected) = chunk_of(logits_s, logits_t, target, options)
        assert gradient.isfinite().all(), name
        assert_near([gradient], [expected], 1e-3)
        if name == "forward_kl":
            torch.testing.assert_close(gradient[0, 1:], expected[0, 1:], rtol=2e-3, atol=0)


def test_the_trial_notices_a_kernel_that_is_wrong_or_fails(monkeypatch, caplog):
    caplog.set_level("WARNING")
    case = choice.Case(DEVICE, *[torch.float32] * 2, 50, Divergence(), 2.0)
    right = triton_chunk.triton_chunk_loss

    def wrong(logits, *rest):
        sums = right(logits, *rest)
        logits[0, 0] += 0.01
        return sums

    def fails(*_):
        raise RuntimeError("out of resource: shared memory")

    assert choice.takes_triton("triton", case)
    for kernel, words in ((wrong, "differs from PyTorch: gradient by"), (fails, "out of resource")):
        choice._problem.cache_clear()
        monkeypatch.setattr(triton_chunk, "triton_chunk_loss", kernel)
        with pytest.raises(ValueError, match=f"--kd-kernel triton: .*{words}"):
            choice.takes_triton("triton", case)
        assert words in caplog.text and "PyTorch instead" in caplog.text
    choice._problem.cache_clear()


# In blocks of 1024 tokens, 8 warps of 32 threads load 4 tokens of a row per thread and block.
COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from lightpaff_fairseq.losses import triton_kernel as rows, triton_top_k as top_k

def build(kernel, dtype, **constants):
    names = {n: "fp32" for n in kernel.arg_names}
    names |= {n: "i32" for n in names if n == "vocab" or n.startswith("stride")}
    names |= {n: f"*{dtype}" for n in names if n.startswith("logits")}
    names |= {"values": "*fp32", "factors": "*fp32", "targets": "*i64"}
    names = {n: "constexpr" if n in constants else names[n] for n in kernel.arg_names}
    places = {(kernel.arg_names.index(n),): value for n, value in constants.items()}
    source = ASTSource(kernel, signature=names, constexprs=places)
    built = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8})
    assert built.asm["cubin"]
    ptx = built.asm["ptx"]
    print(ptx.count("ld.global"), ptx.count("st.global"))

for dtype, kinds in (("bf16", rows.KINDS.values()), ("fp16", [0]), ("fp32", [1])):
    for kind in kinds:
        build(rows.distill_rows, dtype, KIND=kind, TEMPERED=True, ACCURACY=True, BLOCK=1024)
build(top_k.student_rows, "bf16", TEMPERED=True, BLOCK=1024)
build(top_k.write_rows, "bf16", BLOCK=1024)
"""


@pytest.mark.slow
def test_every_kernel_compiles_for_a_gpu_with_the_documented_reads(tmp_path):
    env = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    env.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = [tuple(map(int, x)) for x in re.findall(r"^(\d+) (\d+)$", done.stdout, re.M)]
    two, three = (2 * 2 * 4 + 2, 4 + 4), (3 * 2 * 4 + 2, 4 + 4)  # and label, target; 4 values
    assert counts == [two, two, *[three] * 4, two, two, (4, 2), (4 + 4, 4)]
