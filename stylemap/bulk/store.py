"""The output folder of a bulk run: what it holds, and what of it is done.

run.json                what the results depend on
jobs.jsonl              one job per row of the input
images/000012/…         results, a folder for every chunk; or shards/000012.tar, stylemaps/000012.parquet
manifest/000012.jsonl   one row per job of a chunk; written last, it says that the chunk is done
manifest.jsonl          all of them, when the run is
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylemap.bulk.jobs import Job
from stylemap.files import only_writer, write_whole

_RUN, _JOBS, _MANIFEST = "run.json", "jobs.jsonl", "manifest.jsonl"


@dataclass(frozen=True)
class Chunk:
    """Some jobs in a row: number of the chunk, where its lines begin in jobs.jsonl, and how many."""

    number: int
    offset: int
    count: int


@dataclass(frozen=True)
class Store:
    """The output folder of a run. ``kind``: suffix of the results."""

    root: Path
    kind: str

    def image(self, chunk: Chunk, job: Job) -> Path:
        """Where the image of a job goes."""
        return self.root / "images" / f"{chunk.number:06d}" / f"{job.index:08d}-{job.name}{self.kind}"

    def stylemaps(self, chunk: Chunk) -> Path:
        """Where the stylemaps of a chunk go."""
        return self.root / "stylemaps" / f"{chunk.number:06d}{self.kind}"

    def shard(self, chunk: Chunk) -> Path:
        """Where the images of a chunk go in a run whose results are tar files."""
        return self.root / "shards" / f"{chunk.number:06d}.tar"

    def member(self, job: Job) -> str:
        """What the image of a job is called in there; the key of WebDataset ends at the first dot."""
        return f"{job.index:08d}-{job.name.replace('.', '_')}{self.kind}"

    def manifest(self, chunk: Chunk) -> Path:
        """Where the rows of a chunk go."""
        return self.root / "manifest" / f"{chunk.number:06d}.jsonl"

    def journal(self, chunk: Chunk) -> Path:
        """What is done of a chunk that is not."""
        return self.root / "manifest" / f".{chunk.number:06d}.journal"

    def is_done(self, chunk: Chunk) -> bool:
        """Whether all of a chunk is written."""
        return self.manifest(chunk).exists()

    def jobs(self, chunk: Chunk) -> list[Job]:
        """The jobs of a chunk."""
        with open(self.root / _JOBS, "rb") as file:
            file.seek(chunk.offset)
            return [Job.of_line(file.readline()) for _ in range(chunk.count)]

    def sweep(self, chunk: Chunk) -> None:
        """Remove what a killed process was writing of this chunk."""
        for folder, pattern in (
            (self.image(chunk, Job(0, "", "")).parent, ".*"),
            (self.root / "shards", f".{self.shard(chunk).name}.*"),
            (self.root / "stylemaps", f".{self.stylemaps(chunk).name}.*"),
            (self.root / "manifest", f".{self.manifest(chunk).name}.*"),
        ):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else runs into this folder meanwhile. Errors: see `stylemap.files.only_writer`."""
        return only_writer(self.root)

    def begin(self, facts: dict[str, Any]) -> None:
        """Make the folder that of a run with these facts, or go on with it.

        Raises:
            ValueError: it holds something else, or a run with other facts; the message names the first.
        """
        path = self.root / _RUN
        if not path.exists():
            if any(not entry.name.startswith(f".{_RUN}.") for entry in self.root.iterdir()):
                raise ValueError(f"{self.root} holds files, and no bulk run: name another --output")
            for entry in self.root.iterdir():
                entry.unlink()
            with write_whole(path) as file:
                file.write(json.dumps(facts, indent=1).encode() + b"\n")
            return
        known = self._read_json(path)
        for name in {**known, **facts}:
            if known.get(name) != facts.get(name):
                raise ValueError(
                    f"{self.root} holds a run with {name} {known.get(name)}, this one has {facts.get(name)}: "
                    "name another --output"
                )
        for left in (_JOBS, _MANIFEST):
            for entry in self.root.glob(f".{left}.*"):
                entry.unlink(missing_ok=True)

    def plan(self, jobs: Iterable[Job], size: int) -> list[Chunk]:
        """Write the list of jobs, or compare it with the one there; its chunks of ``size`` jobs.

        Raises:
            ValueError: the input is not what it was when the run began.
        """
        path = self.root / _JOBS
        lines = ((job.line() + "\n").encode() for job in jobs)
        if not path.exists():
            with write_whole(path) as file:
                return list(_chunks(_written(lines, file), size))
        return list(_chunks(self._compared(lines), size))

    def forget_failed(self, chunks: Iterable[Chunk]) -> list[Path]:
        """Take back the chunks with rows that failed, to be done again; the files of their rows."""
        taken = []
        for chunk in chunks:
            if self.is_done(chunk) and any(row["status"] != "ok" for row in self.rows(chunk)):
                (self.root / _MANIFEST).unlink(missing_ok=True)
                self.manifest(chunk).unlink()
                taken.append(self.manifest(chunk))
        return taken

    def rows(self, chunk: Chunk) -> list[dict[str, Any]]:
        """The manifest's rows of a chunk that is done. Raises ValueError where it is damaged."""
        path = self.manifest(chunk)
        rows = [self._read_json(path, line) for line in path.read_bytes().splitlines()]
        if len(rows) != chunk.count or any("status" not in row for row in rows):
            raise self._damaged(path)
        return rows

    def _read_json(self, path: Path, line: bytes | None = None) -> dict[str, Any]:
        try:
            found = json.loads(path.read_bytes() if line is None else line)
        except (ValueError, RecursionError) as error:
            raise self._damaged(path) from error
        if not isinstance(found, dict):
            raise self._damaged(path)
        return found

    def _damaged(self, path: Path) -> ValueError:
        advice = (
            "remove it, and its rows are done again" if path.parent != self.root else "name another --output"
        )
        return ValueError(f"{path} is damaged: {advice}")

    def finish(self, chunks: Iterable[Chunk]) -> tuple[int, int]:
        """Write the whole manifest; how many rows there are, and how many of them failed."""
        count = failed = 0
        with write_whole(self.root / _MANIFEST) as file:
            for chunk in chunks:
                for row in self.rows(chunk):
                    count += 1
                    failed += row["status"] != "ok"
                file.write(self.manifest(chunk).read_bytes())
        return count, failed

    def results(self, chunk: Chunk) -> list[Path]:
        """The files of a chunk's results that there are."""
        images = self.image(chunk, Job(0, "", "")).parent.glob(f"[!.]*{self.kind}")
        return [*sorted(images), *(p for p in (self.shard(chunk), self.stylemaps(chunk)) if p.exists())]

    @property
    def plan_paths(self) -> list[Path]:
        """Of what the run depends on, and of the list of its jobs."""
        return [self.root / _RUN, self.root / _JOBS]

    @property
    def manifest_path(self) -> Path:
        """Of the whole manifest."""
        return self.root / _MANIFEST

    def _compared(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        changed = f"has changed since the run began: name another --output than {self.root}"
        with open(self.root / _JOBS, "rb") as file:
            for index, line in enumerate(lines):
                if line != file.readline():
                    raise ValueError(f"the input {changed} (row {index}: {Job.of_line(line).label})")
                yield line
            if file.readline():
                raise ValueError(f"the input {changed} (it has fewer rows)")


def _written(lines: Iterable[bytes], file: Any) -> Iterator[bytes]:
    for line in lines:
        file.write(line)
        yield line


def _chunks(lines: Iterable[bytes], size: int) -> Iterator[Chunk]:
    number = offset = count = length = 0
    for line in lines:
        if count == size:
            yield Chunk(number, offset, count)
            number, offset, count, length = number + 1, offset + length, 0, 0
        count += 1
        length += len(line)
    if count:
        yield Chunk(number, offset, count)
