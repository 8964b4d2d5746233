"""The report of a result: Markdown with its pictures beside it, and one HTML page that holds everything."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylemap.benchmarks import tables
from stylemap.benchmarks.models import TITLES
from stylemap.benchmarks.summary import MINIMUM, MINIMUM_PAIRS, NOISY_SPREAD, NOISY_WIDTH
from stylemap.files import write_whole

Content = Mapping[str, Any]
_METHOD = f"""\
- All backends of a model take turns: each does the same step of the same recorded strokes, round after round,
  in random order. Slow ones take part in every k-th round, and run once untimed first.
- A result is compared with the model in eager float64 before it is timed. A backend whose error is above its
  tolerance is "wrong" and not timed.
- A frame begins with the mask and the shift and ends with RGB bytes in the host's memory. Rivals keep the
  stylecodes of every photo, as a host of theirs would; a request of the published demo encodes its photos.
- Ratios are medians over the rounds that both sides took part in, with a bootstrapped 95 % interval; "cached
  edit against a decode" compares two medians. Both sides make the same: a frame, a stylemap, or a request.
- "few": fewer than {MINIMUM["p50"]} samples, the minimum to report a median ({MINIMUM["p95"]} for p95,
  {MINIMUM["p99"]} for p99, {MINIMUM_PAIRS} a side for a ratio). "noisy": too noisy to report: the middle half
  of the samples spreads over more than {NOISY_SPREAD:.0%} of the median, or the interval of a ratio over more
  than {NOISY_WIDTH:.0%} of it. A goal is judged if its whole interval lies on one side of it; the nearer end
  is then reported.
- On a GPU, times are of device events, after a flush of its cache."""
_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 62em; margin: 2em auto }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px; margin: 1em 0 }
td, th { padding: .25em .7em; border-bottom: 1px solid #e6e9ee; text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
img { max-width: 100% }"""


def summary(content: Content) -> str:
    """What a terminal shows at the end: the tables of backends and goals, or of the one part that was run."""
    shown = [(title, table) for title, table in sections(content) if not title.endswith(tables.PRECISIONS)]
    if content.get("edit"):
        shown = [each for each in shown if each[0] not in {title for title, _ in tables.PARTS.values()}]
    parts = [tables.machine(content), *(f"{title}\n\n{table}" for title, table in shown)]
    return "\n\n".join([*parts, *(f"left out: {line}" for line in content["skipped"])])


def write(content: Content, folder: Path, stem: str = "bench") -> Sequence[Path]:
    """stem.md, its pictures stem_NAME.png, stem.html; what was written. Pictures need matplotlib."""
    pictures = {f"{stem}_{name}.png": data for name, data in _pictures(content).items()}
    text = markdown(content, stem, pictures)
    files = {f"{stem}.md": f"{text}\n".encode(), **pictures}
    page = _page(text, pictures)
    if page is not None:
        files[f"{stem}.html"] = page.encode()
    for name, data in files.items():
        with write_whole(folder / name) as file:
            file.write(data)
    return [folder / name for name in files]


def markdown(content: Content, stem: str = "bench", pictures: Mapping[str, bytes] | None = None) -> str:
    """All tables, with headings."""
    parts = [f"# stylemap bench\n\n{tables.machine(content)}."]
    for title, table in sections(content):
        parts.append(f"## {title}\n\n{table}")
        name = f"{stem}_{_slug(title)}.png"
        if name in (pictures or {}):
            parts.append(f"![{title}]({name})")
    if content["skipped"]:
        parts.append("## Left out\n\n" + "\n".join(f"- {line}" for line in content["skipped"]))
    return "\n\n".join([*parts, f"## Method\n\n{_METHOD}"])


def sections(content: Content) -> list[tuple[str, str]]:
    """Titles and tables of what was measured."""
    found = []
    if goals := tables.goals(content):
        found.append(("Goals", goals))
    for model in tables.models(content):
        found.append((f"{TITLES[model]}: backends", tables.latencies(content, model)))
        for precision in tables.precisions(content, model):
            title = f"{TITLES[model]}: stylemap {precision}"
            found.append((title, tables.frames(content, model, precision)))
    found += [(title, table(content)) for part, (title, table) in tables.PARTS.items() if content.get(part)]
    return found


def _pictures(content: Content) -> dict[str, bytes]:
    """PNG files by the slug of the section they belong to."""
    try:
        from stylemap.benchmarks import figures
    except ImportError:
        return {}
    found: dict[str, bytes | None] = {}
    for model in tables.models(content):
        found[f"{TITLES[model]}: backends"] = figures.backends(content, model, "paint_64")
        precisions = tables.precisions(content, model)
        if precisions:
            found[f"{TITLES[model]}: stylemap {precisions[-1]}"] = figures.stages(content, model)
    if content.get("scaling"):
        found["Scaling"] = figures.scaling(content)
    return {_slug(title): data for title, data in found.items() if data is not None}


def _page(text: str, pictures: Mapping[str, bytes]) -> str | None:
    """The Markdown as HTML with its pictures inside; None without markdown-it-py."""
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        return None
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    for name, data in pictures.items():
        body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{base64.b64encode(data).decode()}"')
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>stylemap bench</title>\n'
        f"<style>\n{_STYLE}\n</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title.lower())
