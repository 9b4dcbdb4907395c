"""Write the files of an exported folder that accompany the model, so that it needs no fairseq."""

import importlib.metadata
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairseq import utils

from .export_formats import FORMATS
from .export_request import RECORD, ExportReport, ExportRequest, codec_of
from .loaded_model import (
    CLASSIFICATION,
    EMBEDDING,
    LANGUAGE_MODELING,
    MASKED_LM,
    TRANSLATION,
    LoadedModel,
)
from .text_codec import PACKAGES, TextCodec
from .use_script import Use, script

README, SCRIPT = "README.md", "use.py"
LONGEST = 256  # maximum tokens of a translation by the script
SYMBOLS, CLASSES = "symbols.json", "classes.json"


def write_companions(
    request: ExportRequest, student: LoadedModel, folder: Path, report: ExportReport
) -> None:
    """Write dictionaries and export.json into `folder`, and README.md and use.py, except for hf."""
    for name, path in student.dictionary_files().items():
        shutil.copyfile(path, folder / name)  # saving again would lose #fairseq:overwrite
    if request.to == "onnx":
        _write_json(folder / SYMBOLS, student.task.source_dictionary.symbols)
    if request.to == "onnx" and student.has_classes:
        labels, count = student.task.label_dictionary, student.task.cfg.num_classes
        _write_json(folder / CLASSES, labels.symbols[labels.nspecial :][:count])
    codec = codec_of(request, student)
    for name, path in codec.files.items():
        shutil.copyfile(path, folder / name)
    record = _record(request, student, report)
    _write_json(folder / RECORD, record)
    if request.to != "hf":
        (folder / SCRIPT).write_text(_script(student, codec, report.beam), encoding="utf-8")
        readme = _readme(request, student, codec, record)
        (folder / README).write_text(readme, encoding="utf-8")


def _record(request: ExportRequest, student: LoadedModel, report: ExportReport) -> dict[str, Any]:
    info, task = student.info, student.task
    names = ["torch", "fairseq-fixed", *FORMATS[request.to].packages]
    names += ["sil-thot"] if report.shortlist else []
    record: dict[str, Any] = {
        "format": request.to,
        "source": info.path.name,
        "model": info.family,
        "task": info.task,
        "quantization": request.quantization,
        "max_positions": student.model.max_positions(),
        "parity": asdict(report.parity),
        "versions": {name: _version(name) for name in names},
    }
    if report.before and report.after:
        record["quality"] = {
            "measure": report.before.name,
            "of": report.basis,
            "fairseq": report.before.score,
            "exported": report.after.score,
            "drop": report.before.drop_to(report.after),
        }
    if info.task == TRANSLATION and request.to == "ctranslate2":
        rows = [asdict(row) for row in report.rows]
        record |= {"beam": report.beam, "measured": {"of": report.basis, "rows": rows}}
    if report.shortlist:
        record["shortlist"] = asdict(report.shortlist)
    if info.task == TRANSLATION:
        record |= {"source_lang": task.cfg.source_lang, "target_lang": task.cfg.target_lang}
    if info.task == EMBEDDING:
        record["pooling"] = info.pooling
    if info.task == CLASSIFICATION:
        record |= {"init_token": task.cfg.init_token, "separator_token": task.cfg.separator_token}
    return record


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(
    request: ExportRequest, student: LoadedModel, codec: TextCodec, record: dict[str, Any]
) -> str:
    packages = [name for name in FORMATS[request.to].packages if name != "onnx"]
    packages += PACKAGES[codec.kind]
    is_pair = bool(student.between)
    lines = [
        f"# A fairseq {student.info.family} model, exported to {request.to}",
        "",
        *_comparisons(record),
        "",
        f"`pip install {' '.join(packages)}`, then `python {SCRIPT} < text.txt`",
        f"({_LINES[is_pair]}; flags: `python {SCRIPT} --help`). fairseq is not needed.",
        _LONG_LINES[student.info.task == TRANSLATION],
    ]
    lines += ["", f"`{RECORD}`: versions and test results; `dict.*`: fairseq's dictionaries."]
    return "\n".join(lines) + "\n"


_LINES = {False: "one sentence per line", True: "two sentences per line, separated by a tab"}
_LONG_LINES = {
    True: "A line that is longer than the model supports is translated in parts; standard error "
    "says so.",
    False: "A line that is longer than the model supports gets an empty answer and a notice on "
    "standard error.",
}


def _script(student: LoadedModel, codec: TextCodec, beam: int) -> str:
    task, model, info = student.task, student.model, student.info
    dictionary, start = task.source_dictionary, None
    if info.task == CLASSIFICATION:
        start = task.cfg.init_token
    elif info.task in (MASKED_LM, EMBEDDING):
        start = dictionary.bos()
    elif info.task == LANGUAGE_MODELING:
        start = dictionary[dictionary.bos() if task.args.add_bos_token else dictionary.eos()]
    limit = utils.resolve_max_positions(task.max_positions(), model.max_positions())
    longest = limit[0] if isinstance(limit, tuple) else limit
    between = student.between
    added = len(between) + (2 if isinstance(start, int) else 1)  # a start token and the end
    output = 0
    if info.task == TRANSLATION:
        output = min(LONGEST, model.max_decoder_positions() - 1)
    lengths = (longest - added, output)
    return script(Use(info.task, codec, start, student.has_classes, *lengths, beam, between))


def _comparisons(record: dict[str, Any]) -> list[str]:
    parity = record["parity"]
    beams = "" if parity["beams"] is None else f", {parity['beams']} equal translations"
    lines = [
        f"Compared with fairseq in float32 on {parity['sentences']} sentences "
        f"({parity['inputs']}): largest difference {parity['largest_difference']:.1e}{beams}."
    ]
    if "quality" in record:
        quality = record["quality"]
        served = f"{record['quantization'] or 'float'} weights"
        served += " and the shortlist in vmap.txt" if "shortlist" in record else ""
        lines.append(
            f"With {served}: {quality['measure']} "
            f"{quality['exported']:.2f}; in fairseq: {quality['fairseq']:.2f}."
        )
    if "beam" in record:
        lines.append(f"`{SCRIPT}` runs beam {record['beam']}.")
    return lines
