"""A figure to a file: SVG, PDF and PNG without a browser, HTML that needs no network."""

from __future__ import annotations

import html
import json
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt

from mcstudy.arguments import as_path, short
from mcstudy.errors import ResultsError

KINDS = ("svg", "pdf", "png", "html")
_PIXELS = 2.0  # of a PNG for each of the figure, so that it prints
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 1rem; background: white; }}</style>
</head>
<body>
<div id="figure" role="img" aria-label="{description}"></div>
<script>{javascript}</script>
<script type="application/json" id="specification">{spec}</script>
<script>
vegaEmbed("#figure", JSON.parse(document.getElementById("specification").textContent));
</script>
</body>
</html>
"""


@dataclass(frozen=True, repr=False)
class Figure:
    """A figure: a notebook shows it as an image, and `save` writes it to a file.

    A notebook stores the image itself. It is seen without a network, on GitHub too, where a chart
    of Altair needs a script from elsewhere; and it is PNG, because JupyterLab shows no SVG of a
    notebook that somebody else has run. ``figure.chart`` in its place has tooltips.

    Parameters
    ----------
    chart : altair.Chart
        What is drawn, of whatever class of charts; to be changed, or put beside others.
    """

    chart: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the specification for Vega-Lite."""
        return specification(self.chart)

    def save(self, path: str | Path) -> None:
        """Write the figure to a file whose name ends in .svg, .pdf, .png or .html."""
        save(self, path)

    def __repr__(self) -> str:
        return str(self.chart.description)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        image = rendered(self, "png")
        pixels = struct.unpack(">II", image[16:24])  # width and height stand there in every PNG
        size = dict(zip(("width", "height"), (round(n / _PIXELS) for n in pixels), strict=True))
        return {"image/png": image, "text/plain": repr(self)}, {"image/png": size}


def specification(chart: Any, *, validate: bool = True) -> dict[str, Any]:
    """Return the Vega-Lite specification of a figure, whatever theme the user has enabled.

    Without `validate` it is not held against the schema of Vega-Lite, which takes most of the time.
    """
    drawn = chart.chart if isinstance(chart, Figure) else chart
    with alt.theme.enable("none"):
        made: dict[str, Any] = drawn.to_dict(validate=validate)
    return made


def script_safe(thing: Any) -> str:
    """Return JSON that may stand in a script of HTML: no tag begins or ends in it."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def rendered(chart: Any, kind: str) -> bytes:
    """Return a figure as "svg", "pdf", "png" or "html"."""
    import vl_convert

    spec = specification(chart)
    if kind == "svg":
        return _renumbered(str(vl_convert.vegalite_to_svg(spec))).encode()
    if kind == "png":
        return _packed(bytes(vl_convert.vegalite_to_png(spec, scale=_PIXELS)))
    if kind == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(spec))
    page = _PAGE.format(
        title=html.escape(str(spec.get("usermeta", {}).get("title", "Figure"))),
        description=html.escape(str(spec.get("description", ""))),
        javascript=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub errs
        spec=script_safe(spec),
    )
    return page.encode()


def _renumbered(svg: str) -> str:
    """Return an SVG whose ids count from 1: the engine's go on from figure to figure."""
    found = dict.fromkeys(re.findall(r'(?<= id=")(?:clip|gradient_)\d+(?=")', svg))
    for i, old in enumerate(found, 1):
        svg = svg.replace(f' id="{old}"', f' id="part{i}"').replace(
            f"url(#{old})", f"url(#part{i})"
        )
    return svg


def _packed(png: bytes) -> bytes:
    """Return a PNG in a third of the bytes: the engine packs for speed (PNG 1.2, chapter 3)."""
    head, pixels, at = png[:8], b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        chunk = png[at : at + 12 + size]  # size, kind, content and its checksum
        if kind == b"IDAT":
            pixels += chunk[8:-4]
        elif kind == b"IEND":
            packed = b"IDAT" + zlib.compress(zlib.decompress(pixels), 9)
            head += struct.pack(">I", len(packed) - 4) + packed
            head += struct.pack(">I", zlib.crc32(packed)) + chunk
        else:
            head += chunk
        at += len(chunk)
    return head


def kind_of(path: object) -> str:
    """Return the kind of file that a name asks for; ResultsError for what cannot be written."""
    name = as_path(path, "output", of="a file")
    kind = name.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        kinds = ", ".join(f".{kind}" for kind in KINDS)
        raise ResultsError(f"output is {short(str(name))}; give a file that ends in {kinds}")
    check_place(name)
    return kind


def check_place(path: Path) -> None:
    """Raise ResultsError unless a file can stand there."""
    if not path.parent.is_dir():
        raise ResultsError(f"{path}: there is no folder {path.parent}; make it, or name another")
    if path.is_dir():
        raise ResultsError(f"{path}: is a folder; name a file")


def write(path: Path, content: bytes) -> None:
    """Write a file; ResultsError if that fails."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror})") from None


def save(chart: Any, path: str | Path) -> None:
    """Write a figure to a file; its name says as what: .svg, .pdf, .png or .html.

    Raises
    ------
    ResultsError
        For a name that ends otherwise, and if the file cannot be written.
    """
    write(Path(path), rendered(chart, kind_of(path)))
