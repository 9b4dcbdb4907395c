"""The text of the functions of use.py that load and run a model, per library and task."""

CTRANSLATE2_FLAGS = """

def add_thread_flags(parser):
    parser.add_argument(
        "--inter-threads", type=positive, default=1, metavar="N", help="batches at a time"
    )
    parser.add_argument(
        "--intra-threads",
        type=positive,
        default=0,
        metavar="N",
        help="threads of a batch (default: OMP_NUM_THREADS or CTranslate2's choice)",
    )


def threads(flags):
    return {"inter_threads": flags.inter_threads, "intra_threads": flags.intra_threads}
"""

TRANSLATE = """

def add_flags(parser):
    parser.add_argument(
        "--beam", type=positive, default=BEAM, metavar="N", help="beam size (default: %(default)s)"
    )
    add_thread_flags(parser)


def load(flags):
    return ctranslate2.Translator(folder, **threads(flags))


def encode(text):
    return text  # the model adds the end of sentence


def answer(translator, texts, numbers, flags):
    results = translator.translate_batch(
        [encode(text) for text in texts],
        beam_size=flags.beam,
        max_batch_size=BATCH,  # sorted by length
        batch_type="tokens",
        max_decoding_length=LONGEST_OUTPUT,
        max_input_length=0,
        use_vmap=True,  # the shortlist, if the folder has one
    )
    best = [result.hypotheses[0] for result in results]
    for number, tokens in zip(numbers, best):
        if len(tokens) >= LONGEST_OUTPUT:
            notice(number, f"its translation is cut at {LONGEST_OUTPUT} tokens")
    return [JOIN(tokens) for tokens in best]
"""

CONTINUE = """

def add_flags(parser):
    add_thread_flags(parser)


def load(flags):
    return ctranslate2.Generator(folder, **threads(flags))


def encode(text):
    return ["START", *text]


def answer(generator, texts, numbers, flags):
    # log-probability of each text, and the text with up to 30 tokens more
    starts = [encode(text) for text in texts]
    batches = {"max_batch_size": BATCH, "batch_type": "tokens"}
    scored = generator.score_batch(starts, max_input_length=0, **batches)
    scores = [sum(x.log_probs) for x in scored]
    more = [[] for _ in texts]
    for size in set(map(len, texts)) - {LONGEST}:  # texts of one batch must be equally long
        chosen = [i for i, text in enumerate(texts) if len(text) == size]
        results = generator.generate_batch(
            [starts[i] for i in chosen],
            max_length=min(30, LONGEST - size),
            include_prompt_in_result=False,
            **batches,
        )
        for i, result in zip(chosen, results):
            more[i] = result.sequences[0]
    joined = [JOIN([*text, *end]) for text, end in zip(texts, more)]
    return [f"{score:.2f}\\t{line}" for score, line in zip(scores, joined)]
"""

ONNX_FLAGS = """

def add_flags(parser):
    parser.add_argument(
        "--intra-threads",
        type=positive,
        default=0,
        metavar="N",
        help="threads (default: ONNX Runtime's choice)",
    )


def load(flags):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = flags.intra_threads
    slow = ["SkipLayerNormFusion"]  # on CPUs
    return onnxruntime.InferenceSession(f"{folder}/model.onnx", options, disabled_optimizers=slow)


"""

CLASSES = 'classes = json.load(open(f"{folder}/classes.json", encoding="utf-8"))\n'
ENCODE = """symbols = json.load(open(f"{folder}/symbols.json", encoding="utf-8"))
ids = {symbol: i for i, symbol in enumerate(symbols)}


ENCODE_TEXT
def answer(session, texts, numbers, flags):
    answers, encoded = {}, [encode(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        rows = [encoded[i] for i in chosen]
        tokens = np.ones((len(rows), max(map(len, rows))), dtype=np.int64)  # 1: <pad>
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
        (output,) = session.run(None, {"tokens": tokens})
        lines = RESULT
        answers |= zip(chosen, lines)
    return [answers[i] for i in range(len(texts))]
"""
ENCODE_ONE = """def encode(text):
    return [START*(ids.get(x, 3) for x in text), 2]  # 3: <unk>, 2: </s>


"""
ENCODE_PAIR = """def encode(pair):
    first, second = ([ids.get(x, 3) for x in text] for text in pair)  # 3: <unk>
    return [START*first, BETWEEN, *second, 2]  # 2: </s>


"""
RESULT = {
    "embedding": '[" ".join(f"{x:.7f}" for x in row) for row in output]',
    "classes": "[classes[i] for i in output.argmax(-1)]",
    "number": "[str(x) for x in output[:, 0]]",
    "symbols": """[
            " ".join(symbols[i] for i in best[: len(row)])
            for row, best in zip(rows, output.argmax(-1))
        ]""",
}
