"""Copy fairseq's output (--log-format json) to a log and print one line per epoch.

fairseq-train ... --log-format json 2>&1 | progress.py NAME LOG
"""

import json
import re
import sys
import time

JSON_LINE = re.compile(r"\| (train|valid) \| (\{.*\})\s*$")
QUALITY = ("accuracy", "ppl", "loss")  # prints the first that the criterion reports


def minutes(seconds: float) -> str:
    """Format seconds as `m:ss`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Turn log lines into progress lines.

    Args:
        name: the step's name, printed first.
        start: start time in seconds.
    """

    def __init__(self, name: str, start: float):
        self.name, self.start = name, start
        self.updates: str | None = None

    def line(self, text: str, now: float) -> str | None:
        """Return the line to print for one line of the log, or None."""
        flag = re.search(r"'max_update': (\d+)", text)
        if flag and self.updates is None:
            self.updates = flag.group(1)
        stats = JSON_LINE.search(text)
        if not stats or stats.group(1) != "valid":
            return None
        values = json.loads(stats.group(2))
        metric = next(key for key in QUALITY if f"valid_{key}" in values)
        return (
            f"  {self.name:<26} epoch {values['epoch']:>2}"
            f"  update {values['valid_num_updates']:>5} of {self.updates or '?'}"
            f"  valid {metric} {float(values[f'valid_{metric}']):7.2f}"
            f"  {minutes(now - self.start):>5} min"
        )


def main() -> None:
    """Copy standard input to the log and print progress."""
    name, path = sys.argv[1:]
    progress = Progress(name, time.time())
    with open(path, "a", encoding="utf-8") as log:
        for text in sys.stdin:
            log.write(text)
            log.flush()
            line = progress.line(text, time.time())
            if line:
                print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
