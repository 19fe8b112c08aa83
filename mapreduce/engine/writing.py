"""What one attempt writes: its part of the output, and parts of the job's named outputs."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from mapreduce.api import Pair
from mapreduce.data import formats, outputs
from mapreduce.data.outputs import Output, Part, PartWriter
from mapreduce.data.shuffle import LinePairs, Lines
from mapreduce.engine import calling
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import PhaseOrder
from mapreduce.errors import BadPair, BadRecord, JobError


class AttemptOutput:
    """The parts of one attempt; as a context manager it leaves none behind after an error.

    `folder` is what the attempt's step writes, `named` the job's output: they are the same in the
    last step.
    """

    def __init__(
        self, phase: PhaseOrder, attempt: AttemptId, folder: Output, named: Output
    ) -> None:
        self._phase = phase
        self._attempt = attempt
        self._folder = folder
        self._named = named
        self._streams: dict[str, _PartStream] = {}

    def write(self, pairs: Iterable[Pair]) -> None:
        """Store all of `pairs` as this task's part of the main output."""
        written = formats.writing(self._phase.output_format)
        name = outputs.part_name(self._attempt.task.index, written.extension)
        stream = self._open(self._folder, "", name, written)
        if isinstance(pairs, LinePairs) and pairs.form.separator == written.line_separator:
            for lines in pairs.lines():
                stream.add_lines(lines)
            return
        pairs = _checked_first(iter(pairs))
        while batch := list(itertools.islice(pairs, stream.next_pairs)):
            stream.add(batch)

    def emit(self, name: str, key: Any, value: Any) -> None:
        """Add a pair to the named output `name`. Raises `JobError` if the job has none such."""
        stream = self._streams.get(name) or self._open_named(name)
        if stream is not None:
            stream.emit((key, value))

    def close(self) -> tuple[Part, ...]:
        """End all parts; nothing can be written any more."""
        return tuple(stream.close() for stream in self._streams.values())

    def __enter__(self) -> "AttemptOutput":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            for stream in self._streams.values():
                stream.abort()

    def _open_named(self, name: str) -> "_PartStream | None":
        """None while keys are sampled: that is to leave nothing but borders."""
        has = self._phase.spec.outputs
        if name not in has:
            known = ", ".join(has) or "none"
            raise JobError(
                f"the job has no output {name!r}, it has {known}: name it in outputs={{...}}, "
                "with its format"
            )
        if self._phase.sampling:
            return None
        written, task = formats.writing(has[name]), self._attempt.task
        part = outputs.named_part_name(
            name, task.kind, task.index, written.extension, self._phase.step
        )
        return self._open(self._named, name, part, written)

    def _open(
        self, folder: Output, key: str, name: str, written: formats.WriteFormat
    ) -> "_PartStream":
        is_first = self._attempt.task.index == 0 or not self._phase.spec.merged
        writer = folder.open(name, str(self._attempt))
        stream = _PartStream(key, writer, functools.partial(written.encoder, is_first))
        self._streams[key] = stream
        return stream


def _checked_first(pairs: Iterator[Pair]) -> Iterator[Pair]:
    """Look at the first pair by itself: what is wrong with one mostly is with all, and now it is
    still known which record it came from."""
    for pair in pairs:
        return itertools.chain((calling.checked(pair),), pairs)
    return pairs


class _PartStream:
    """One part on its way to where it is stored; `output` is the named output it belongs to."""

    def __init__(
        self, output: str, writer: PartWriter, make_encoder: Callable[[], formats.Encoder]
    ) -> None:
        self._output = output
        self._writer = writer
        self._make_encoder = make_encoder
        self._encoder = make_encoder()
        self._added = 0
        self._waiting: list[Pair] = []

    @property
    def next_pairs(self) -> int:
        """How many pairs to write down at once."""
        return self._encoder.next_pairs

    def add(self, batch: list[Pair]) -> None:
        try:
            data = self._encoder.add(batch)
        except BadPair as error:
            error.output = self._output
            raise
        except BadRecord as error:  # what the format can't write
            wrong = BadPair(str(error)).late(self._refuser())
            wrong.output = self._output
            raise wrong from error
        self._added += len(batch)
        self._writer.write(data, len(batch))

    def add_lines(self, lines: Lines) -> None:
        assert isinstance(self._encoder, formats.BlockEncoder)
        self._writer.write(self._encoder.add_lines(lines.text), lines.records)

    def _refuser(self) -> Callable[[Any], bool]:
        """Tells whether a pair is one that the format refuses, by what is known of those before: a
        format may learn its columns' types from the first ones."""
        encoder = self._encoder if self._added else None

        def refuses(pair: Any) -> bool:
            try:
                (encoder or self._make_encoder()).add([pair])
            except BadRecord:
                return True
            return False

        return refuses

    def emit(self, pair: Pair) -> None:
        self._waiting.append(pair)
        if len(self._waiting) >= self.next_pairs:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.add(waiting)

    def close(self) -> Part:
        self._flush()
        if rest := self._encoder.finish():
            self._writer.write(rest, 0)
        return self._writer.close()

    def abort(self) -> None:
        self._writer.abort()
