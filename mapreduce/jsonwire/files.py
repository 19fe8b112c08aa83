"""What the master does with files: the folder `var`, the list of input files, groups, output."""

import os
import shutil
from pathlib import Path

from mapreduce.errors import JobError
from mapreduce.jsonwire import grouping
from mapreduce.jsonwire.actions import (
    CopyOutput,
    FilesDone,
    FilesFailed,
    Group,
    InputListed,
    ListInput,
)
from mapreduce.jsonwire.wire import Heard

VAR = Path("var")


def make_var() -> None:
    """An empty folder `var` here, in place of one that there may be."""
    if VAR.absolute() == Path("/var"):
        raise JobError("the master's folder here would be /var, the system's: start it elsewhere")
    if VAR.is_symlink() or VAR.is_file():
        VAR.unlink()
    elif VAR.exists():
        shutil.rmtree(VAR)
    VAR.mkdir()


def work_on(action: ListInput | Group | CopyOutput, heard: Heard) -> None:
    """Do it, and tell `heard` how it went."""
    try:
        match action:
            case ListInput(job=job, folder=folder, executables=executables):
                lacking = tuple(name for name in executables if not can_run(name))
                heard(InputListed(job, input_files(folder), lacking))
            case Group(job=job):
                present, missing = _look(action.sorted_files)
                grouping.group(present, action.groups, action.scratch)
                heard(FilesDone(job, missing))
            case CopyOutput(job=job):
                present, missing = _look(action.files)
                copy(present, Path(action.folder))
                heard(FilesDone(job, missing, older(action.files, Path(action.folder))))
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        heard(FilesFailed(action.job, named))
    except ValueError as error:
        heard(FilesFailed(action.job, str(error)))


def input_files(folder: str) -> list[str]:
    """The files of a folder in order, with its name before theirs. Folders in it and hidden files
    are left out, as by the shell's `folder/*`. Raises OSError; JobError for a name that JSON can't
    say."""
    files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]  # noqa: PTH118, PTH208
    files = [file for file in files if _is_input(Path(file))]
    for file in files:
        try:
            file.encode()
        except UnicodeEncodeError:
            raise JobError(f"the name of {file!r} is not UTF-8: rename the file") from None
    return files


def can_run(executable: str) -> bool:
    """True for an executable file of that name here, or a program of that name in PATH."""
    here = Path(executable).is_file()
    return bool(shutil.which(os.path.abspath(executable) if here else executable))  # noqa: PTH100


def copy(files: list[str], folder: Path) -> None:
    """Copy files into a folder, which is made; each is there as a whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in map(Path, files):
        part = folder / f".{file.name}.{os.getpid()}"
        try:
            shutil.copyfile(file, part)
            part.replace(folder / file.name)
        finally:
            part.unlink(missing_ok=True)


def older(files: list[str], folder: Path) -> tuple[str, ...]:
    """What an earlier job, with more reducers, has left in the output folder of this one."""
    ours = {Path(file).name for file in files}
    return tuple(sorted(path.name for path in folder.glob("input_*") if path.name not in ours))


def _is_input(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _look(files: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Those that are there, and those that are not."""
    present = [file for file in files if Path(file).is_file()]
    return present, tuple(file for file in files if file not in set(present))
