"""Files beside filebeat.yml that Filebeat reads inputs or modules from (`filebeat.config.*`):
shipper reads none of them, and warns if there are any."""

import glob
import itertools
import os
from collections.abc import Iterable, Mapping

from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.options import Option, honoured
from shipper.config.filebeat.values import boolean, duration, text
from shipper.offload import within

NO_MODULES = "list the files in `filebeat.inputs`"
ONE_FILE = "write the inputs into this file, or give several with -c"

_KINDS = {"inputs": ONE_FILE, "modules": NO_MODULES}

#: For the directory to answer, in seconds, and how many files are counted.
_PATIENCE = 5.0
_MOST = 1000


def _options(kind: str) -> Iterable[Option]:
    name = f"filebeat.config.{kind}"
    yield honoured(
        f"{name}.enabled", boolean, "With `false` it is as if the rest of it were not there."
    )
    yield honoured(
        f"{name}.path",
        text,
        f"A glob, below `path.config` if it is not absolute. shipper reads no {kind} from other "
        "files: if any match, the log and `shipper check` warn.",
    )
    yield honoured(f"{name}.reload.enabled", boolean, "`true` is warned of: no file is looked for.")
    yield honoured(f"{name}.reload.period", duration, "Counts for nothing, as no file is read.")


OPTIONS: tuple[Option, ...] = tuple(option for kind in _KINDS for option in _options(kind))


def translate(found: Mapping[str, Value], config_directory: str, draft: Draft) -> None:
    """Warns of what would be read. `config_directory`: `path.config`."""
    for kind, advice in _KINDS.items():
        path = found.get(f"filebeat.config.{kind}.path")
        if path is not None and path.value:
            _look(kind, path, config_directory, advice, draft)
        reload = found.get(f"filebeat.config.{kind}.reload.enabled")
        if reload is not None and reload.value:
            draft.notice(
                f"ignored: shipper reads no {kind} from other files, now or later; {advice}",
                reload,
                is_warning=True,
            )


def _look(kind: str, path: Value, config_directory: str, advice: str, draft: Draft) -> None:
    pattern = os.path.join(config_directory, str(path.value))
    patterns = [pattern]
    beside = os.path.dirname(os.path.abspath(draft.name))
    if pattern.startswith(f"{config_directory}/") and "path.config" not in draft.given:
        # Filebeat's packages name `path.config` on the command line: /etc/filebeat, where the
        # file itself is.
        patterns.append(os.path.join(beside, os.path.relpath(pattern, config_directory)))
    try:
        files = within(_PATIENCE, lambda: _files(patterns))
    except (OSError, ValueError) as error:
        what = f"{kind} in {pattern} could not be looked for ({error}); shipper reads none there"
        draft.notice(f"{what}: {advice}", path, is_warning=True)
        return
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        what = f"shipper does not read the {kind} in {files[0]}{more}: {advice}"
        draft.notice(what, path, is_warning=True)


def _files(patterns: Iterable[str]) -> list[str]:
    found = (glob.iglob(pattern) for pattern in patterns)
    return list(dict.fromkeys(itertools.islice(itertools.chain.from_iterable(found), _MOST)))
