"""What an operator is told of scans: what cannot be seen, is missing, left out or not followed."""

from collections.abc import Sequence

from shipper.files.discovery import Scan, ScanSummary, summary_of
from shipper.files.faults import FileErrors
from shipper.files.found import MAX_FILES
from shipper.files.walk import MAX_DIRECTORIES
from shipper.logs import Log
from shipper.logs.events import (
    COMPRESSED_FILE_READ_FAILED,
    DIRECTORY_FOUND,
    DIRECTORY_MISSING,
    FILE_OPEN_FAILED,
    FILES_LEFT_OUT,
    PATH_ACCESS_FAILED,
    SYMLINK_SKIPPED,
    SYMLINKS_SKIPPED,
    LogEvent,
)
from shipper.option_names import OptionNames

#: So many paths with trouble, or that are left out, are named in the log for each scan.
_NAMED = 20


class ScanReport:
    """The scans of one input."""

    def __init__(self, input_id: str, faults: FileErrors, log: Log, names: OptionNames) -> None:
        """`names`: what messages call the options."""
        self._input_id = input_id
        self._faults = faults
        self._log = log
        self._names = names
        #: What the last scan saw.
        self.summary = ScanSummary()
        self._skipped: set[str] = set()
        self._left_out = False

    def scanned(
        self,
        found: Scan,
        problems: Sequence[OSError],
        *,
        gzips: Scan | None = None,
        gzip_problems: Sequence[OSError] = (),
        untried: int = 0,
    ) -> None:
        """A scan was taken notice of, and that for gzips, if there is one. `problems`: files that
        could not be opened; `gzip_problems`: gzips; `untried`: how many more files there are, of
        which that was not tried, as no descriptors were left."""
        before = self.summary
        unopened = (*problems, *gzip_problems)
        self.summary = summary_of(found, unopened, gzips=gzips, untried=untried)
        unreadable = {**(gzips.unreadable if gzips is not None else {}), **found.unreadable}
        for path, error in unreadable.items():
            error.filename = path
        self._errors(PATH_ACCESS_FAILED, [error for _, error in sorted(unreadable.items())])
        self._errors(FILE_OPEN_FAILED, problems)
        self._errors(COMPRESSED_FILE_READ_FAILED, gzip_problems)
        self._report_missing(frozenset(before.missing), frozenset(found.missing))
        self._report_skipped(found)
        if found.left_out and not self._left_out:
            self._log.emit(
                FILES_LEFT_OUT,
                input=self._input_id,
                files_left_out=found.files_left_out,
                directories_left_out=found.directories_left_out,
                max_files=MAX_FILES,
                max_directories=MAX_DIRECTORIES,
                hint=f"make the globs in {self._names('inputs[].paths')} narrower, or exclude what "
                "is no log",
            )
        self._left_out = bool(found.left_out)

    def _errors(self, event: LogEvent, errors: Sequence[OSError]) -> None:
        """Counts all of them, and logs the first."""
        for number, error in enumerate(errors):
            if number < _NAMED:
                self._faults.report(event, error)
            else:
                self._faults.count(error)

    def _report_missing(self, before: frozenset[str], missing: frozenset[str]) -> None:
        for directory in missing - before:
            self._log.emit(
                DIRECTORY_MISSING,
                input=self._input_id,
                path=directory,
                hint="Tetragon's charts up to 1.7 export to /var/run/cilium/tetragon, "
                "later ones to /var/log/tetragon",
            )
        for directory in before - missing:
            self._log.emit(DIRECTORY_FOUND, path=directory)

    def _report_skipped(self, found: Scan) -> None:
        """Names each symbolic link that is not followed once, as long as it is there."""
        before = self._skipped
        new = [path for path in sorted(found.skipped) if path not in before]
        name = self._names("inputs[].symlinks")
        hint = f"set {name} to true for this input if what it leads to is to be shipped"
        for path in new[:_NAMED]:
            self._log.emit(SYMLINK_SKIPPED, path=path, input=self._input_id, hint=hint)
        if len(new) > _NAMED:
            self._log.emit(
                SYMLINKS_SKIPPED,
                input=self._input_id,
                links=found.skipped_count - len(before) - _NAMED,
                hint=hint,
            )
        self._skipped = set(found.skipped)
