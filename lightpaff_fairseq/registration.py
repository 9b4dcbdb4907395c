"""Register the plug-in with fairseq, without importing fairseq for those who do not use it.

`lightpaff_fairseq.losses` needs PyTorch only, and `lightpaff --help` neither. So importing the
package must not import fairseq; yet whoever uses both must get the registered criterions and the
repairs of `compat`, whichever is imported first.
"""

import importlib.util
import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

FAIRSEQ = "fairseq"
NEEDED = (
    "trainer_hooks",
    "launch_checks",
    "resuming",
    "one_line_errors",
    "data_shards",
    "training_state",
)  # modules that import fairseq, outside of a package


def register() -> None:
    """Apply `compat` and register criterions, models and tasks; a second call changes nothing."""
    for name in NEEDED:  # whoever imports one of them first gets the one imported below, too
        module = sys.modules.get(f"{__package__}.{name}")
        if module is not None and getattr(module.__spec__, "_initializing", False):
            del sys.modules[f"{__package__}.{name}"]
    from . import trainer_hooks
    from .compat import repairs

    repairs.apply()
    trainer_hooks.install()

    from . import criterions, models, tasks  # noqa: F401


def register_with_fairseq() -> None:
    """Register now if fairseq is imported already (as for `--user-dir`), else right after it is."""
    if FAIRSEQ in sys.modules:
        register()
    else:
        # one of fairseq's tasks asks for tensorboardX while it is imported
        logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)
        sys.meta_path.insert(0, _AfterFairseq())


class _AfterFairseq(MetaPathFinder):
    """Find `fairseq` as the import system does, and register when it has been executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != FAIRSEQ:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_then_register(module: ModuleType) -> None:
                execute(module)
                register()

            spec.loader.exec_module = execute_then_register  # type: ignore[method-assign]
        return spec
