"""The report of a result: one HTML file that needs nothing else, and the same tables in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylemap.benchmarks import tables
from stylemap.benchmarks.models import TITLES
from stylemap.files import write_whole

Content = Mapping[str, Any]
_CSS = Path(__file__).parent / "report.css"
_METHOD = (
    "All backends of a model take turns: each does the same step of the same recorded strokes, round after "
    "round, and the order rotates. Slow ones take part in every k-th round, and threads that spin after "
    "work (ncnn's) are waited for.",
    "A result is compared with the model in eager float64 before it is timed; a backend that is further off "
    "than its tolerance is reported as wrong.",
    "A frame begins with the mask and the shift, and ends with RGB bytes in the host's memory. Rivals keep "
    "the stylecodes of every photo, as a host of theirs would; the published request does not.",
    "Ratios are medians over the rounds that both sides took part in; intervals are bootstrapped over these. "
    "A latency whose middle half spreads over more than half its median, and a ratio whose interval is wider "
    "than 30 % of it, are not reported; but a goal is judged where its whole interval lies on one "
    "side of it, and then that end of the interval is told.",
    "p95 needs 20 runs, p99 needs 100. On a GPU, times are of device events, after a flush of its cache.",
)


def summary(content: Content) -> str:
    """What a terminal shows at the end."""
    parts = [tables.machine(content)]
    if goals := tables.goals(content):
        parts.append(goals)
    for model in tables.models(content):
        parts.append(f"{TITLES[model]}\n\n{tables.latencies(content, model)}")
    if not content.get("edit"):
        parts += [f"{title}\n\n{table}" for title, table in sections(content)]
    return "\n\n".join([*parts, *(f"left out: {line}" for line in content["skipped"])])


def write(content: Content, folder: Path, stem: str = "bench") -> Sequence[Path]:
    """stem.md and stem.html in a folder; what was written. Without matplotlib, the HTML has no pictures."""
    written = []
    for suffix, text in ((".md", markdown(content)), (".html", page(content))):
        written.append(folder / f"{stem}{suffix}")
        with write_whole(written[-1]) as file:
            file.write(f"{text}\n".encode())
    return written


def markdown(content: Content) -> str:
    """All tables, with headings."""
    parts = [f"# stylemap bench\n\n{tables.machine(content)}."]
    for title, table in sections(content):
        parts.append(f"## {title}\n\n{table}")
    if content["skipped"]:
        parts.append("## Left out\n\n" + "\n".join(f"- {line}" for line in content["skipped"]))
    return "\n\n".join(parts)


def sections(content: Content) -> list[tuple[str, str]]:
    """Titles and tables of what was measured."""
    found = []
    if goals := tables.goals(content):
        found.append(("Goals", goals))
    for model in tables.models(content):
        found.append((f"{TITLES[model]}: backends", tables.latencies(content, model)))
        for precision in tables.PRECISIONS:
            if tables.played(content, model, precision):
                table = tables.frames(content, model, precision)
                found.append((f"{TITLES[model]}: stylemap, {precision}", table))
    for part, title, table_of in (
        ("cold", "Cold start and memory", tables.cold_starts),
        ("scaling", "Scaling", tables.scaling),
        ("ops", "Operators", tables.operators),
        ("training", "Training", tables.training),
    ):
        if content.get(part):
            found.append((title, table_of(content)))
    return found


def page(content: Content) -> str:
    """The HTML document."""
    links, bodies = [], []
    for title, body in _chapters(content):
        anchor = re.sub(r"\W+", "-", title.lower())
        links.append(f'<a href="#{anchor}">{_escape(title)}</a>')
        bodies.append(f'<h2 id="{anchor}">{_escape(title)}</h2>\n{body}')
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>stylemap bench</title>\n<style>\n{_CSS.read_text()}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>stylemap bench</h1>\n<p class="soft">{_escape(tables.machine(content))}</p>\n'
        f"<nav>{''.join(links)}</nav>\n{_cards(content)}\n{chr(10).join(bodies)}\n"
        "</main>\n</body>\n</html>"
    )


def _chapters(content: Content) -> Iterator[tuple[str, str]]:
    try:
        from stylemap.benchmarks import figures, figures_scaling
    except ImportError as missing:
        yield "Pictures", f"<p>None: {_escape(missing)}. They need <code>stylemap[bench]</code>.</p>"
        figures = figures_scaling = None  # type: ignore[assignment]
    if goals := tables.goals(content):
        yield "Goals", _table(goals)
    for model in tables.models(content):
        yield TITLES[model], _model(content, model, figures)
    if content.get("scaling"):
        drawn = "".join(_figure(*each) for each in figures_scaling.scaling(content)) if figures else ""
        yield "Scaling", drawn + _folded("All numbers", tables.scaling(content))
    if content.get("ops"):
        roof = figures_scaling.roofline(content) if figures else None
        caption = "Work per byte against speed; the roof is this machine's own copy and matrix product."
        yield (
            "Operators",
            _figure("Roofline", caption, roof) + _folded("All operators", tables.operators(content)),
        )
    if content.get("training"):
        yield "Training", _table(tables.training(content))
    if content.get("cold"):
        yield "Cold start and memory", _table(tables.cold_starts(content))
    yield "Method", _list(_METHOD) + _details(content)


def _model(content: Content, model: str, figures: Any) -> str:
    parts = []
    if figures:
        for title, caption, drawn in (
            (
                "A stroke with a brush of 64, in every backend",
                "One reference, shifted; photos are known. Shorter is better.",
                figures.backends(content, model, "paint_64"),
            ),
            (
                "How long frames of that stroke take",
                "Steep lines are steady: nobody waits longer than usual.",
                figures.distribution(content, model, "paint_64"),
            ),
            (
                "stylemap in every scenario",
                "Circle: median; bar: middle half; line: 5 % to 95 %; dots: single runs.",
                figures.scenarios(content, model),
            ),
            ("Where the time of a frame goes", "stylemap, by stage.", figures.stages(content, model)),
        ):
            parts.append(_figure(title, caption, drawn))
    parts.append(_folded("Backends, median milliseconds", tables.latencies(content, model)))
    for precision in tables.PRECISIONS:
        if tables.played(content, model, precision):
            parts.append(
                _folded(f"stylemap {precision}, every scenario", tables.frames(content, model, precision))
            )
    return "\n".join(parts)


def _cards(content: Content) -> str:
    """The figures that matter most, of the largest model that has them."""
    found = []
    for model in reversed([m for m in ("demo", "small", "full") if m in tables.models(content)]):
        for title, value in tables.headlines(content, model):
            found.append(f'<div class="card"><b>{_escape(value)}</b><span>{_escape(title)}</span></div>')
        break
    return f'<div class="cards">{"".join(found)}</div>' if found else ""


def _figure(title: str, caption: str, drawn: str | None) -> str:
    if drawn is None:
        return ""
    return (
        f"<figure>\n<h3>{_escape(title)}</h3>\n<figcaption>{_escape(caption)}</figcaption>\n{drawn}</figure>"
    )


def _folded(title: str, table: str) -> str:
    return f"<details><summary>{_escape(title)}</summary>{_table(table)}</details>"


def _table(markdown: str) -> str:
    """A Markdown table as HTML."""
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in markdown.splitlines()]
    head = "".join(f"<th>{_cell(cell)}</th>" for cell in lines[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in _padded(line, len(lines[0])))}</tr>"
        for line in lines[2:]
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _padded(cells: list[str], count: int) -> list[str]:
    return [*cells, *[""] * (count - len(cells))]


def _cell(text: str) -> str:
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", _escape(text))
    text = text.replace(" not met", ' <span class="missed">not met</span>')
    return re.sub(r" met$", ' <span class="met">met</span>', text)


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_escape(line)}</li>' for line in lines)}</ul>"


def _details(content: Content) -> str:
    m = content["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    lines = [
        f"{m['cpu']}, {m['cores']} cores, {m.get('memory_gib', 0):.0f} GiB; {m.get('system', '')}",
        f"Python {m['python']}, torch {m['torch']}, {packages}",
        f"Command: {content['command']}; it took {content['seconds']:.0f} s; load average {m.get('load', 0)}",
        *(f"Left out: {line}" for line in content["skipped"]),
    ]
    return f'<h3>Machine</h3><div class="soft">{_list(lines)}</div>'


def _escape(text: object) -> str:
    return html.escape(str(text))
