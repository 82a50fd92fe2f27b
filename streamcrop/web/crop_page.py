"""One crop, large: in its place in the frame, with what was drawn around it, and whence it came."""

from typing import Any

import msgspec

from streamcrop.formats.events import Event
from streamcrop.web.crops import picture_path
from streamcrop.web.markup import Child, Markup, tag
from streamcrop.web.recent import label_of, prediction_of

# Points of a mask that are drawn; more are not seen.
_MAX_POINTS = 2000
# No picture has so many pixels a side.
_FAR = 1e6


def crop_page(stream: str, event: Event) -> Markup:
    """A crop with all that is known of it.

    Args:
        stream: Its name.
        event: The crop's.
    """
    metadata = msgspec.json.decode(event.metadata)
    row = prediction_of(metadata)
    crop_id = event.attributes.get("id", "")
    label = label_of(metadata) or "crop"
    facts: list[tuple[str, Any]] = [
        ("stream", stream),
        ("frame", event.name[0]),
        ("captured", metadata.get("captured_at")),
        ("paired by", metadata.get("paired_by")),
        ("detection", event.name[1]),
        ("score", row.get("confidence")),
        ("track", row.get("tracker_id")),
    ]
    known = [(name, str(value)) for name, value in facts if value is not None and value != ""]
    pretty = msgspec.json.format(event.metadata, indent=2).decode(errors="replace")
    return tag(
        "article",
        tag("h2", label),
        tag(
            "div",
            tag(
                "div",
                tag(
                    "img", src=picture_path(stream, crop_id), alt=f"{label}, frame {event.name[0]}"
                ),
                drawing(metadata),
                class_="picture",
            ),
            place(metadata),
            class_="views",
        ),
        tag("dl", (tag("div", tag("dt", name), tag("dd", value)) for name, value in known)),
        tag("details", tag("summary", "Metadata"), tag("pre", pretty, tabindex="0")),
        class_="crop",
    )


def _size(metadata: Any) -> tuple[float, float] | None:
    image = metadata.get("image")
    if isinstance(image, dict) and all(_is_number(image.get(k)) for k in ("width", "height")):
        return image["width"], image["height"]
    return None


def drawing(metadata: Any) -> Markup | None:
    """Box, mask and joints over a crop; None where its size is not known.

    Args:
        metadata: The crop's.
    """
    if (size := _size(metadata)) is None:
        return None
    row = prediction_of(metadata)
    shapes: list[Child] = []
    if all(_is_number(row.get(key)) for key in ("x", "y", "width", "height")):
        left, top = row["x"] - row["width"] / 2, row["y"] - row["height"] / 2
        box = {"x": left, "y": top, "width": row["width"], "height": row["height"]}
        shapes.append(tag("rect", class_="box", **box))
    if points := _points(row.get("points")):
        shapes.append(
            tag("polygon", class_="mask", points=" ".join(f"{x:g},{y:g}" for x, y in points))
        )
    radius = max(size) / 60
    shapes += [
        tag("circle", class_="joint", cx=x, cy=y, r=radius)
        for x, y in _points(row.get("keypoints"))
    ]
    return tag("svg", shapes, viewBox=f"0 0 {size[0]:g} {size[1]:g}", aria_hidden="true")


def place(metadata: Any) -> Markup | None:
    """The frame's outline, with the crop where it was cut; None where that is not known.

    Args:
        metadata: The crop's.
    """
    lineage = metadata.get("lineage")
    root = lineage[0] if isinstance(lineage, list) and lineage else None
    origin, size = metadata.get("origin"), _size(metadata)
    if not isinstance(root, dict) or not _points([origin]) or size is None:
        return None
    [(x, y)] = _points([origin])
    width, height = root.get("width"), root.get("height")
    if not (_is_number(width) and _is_number(height)):
        return None
    said = f"at {x:g}, {y:g} in a frame of {width:g} x {height:g}"
    outline = tag("rect", class_="frame", x=0, y=0, width=width, height=height)
    crop = tag("rect", class_="here", x=x, y=y, width=size[0], height=size[1])
    view = tag(
        "svg", outline, crop, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=said
    )
    return tag("figure", view, tag("figcaption", said))


def _points(values: Any) -> list[tuple[float, float]]:
    """The points among these: ``[x, y]`` or ``{"x": .., "y": ..}``."""
    found = []
    for each in values[:_MAX_POINTS] if isinstance(values, list) else ():
        pair = (each.get("x"), each.get("y")) if isinstance(each, dict) else each
        if isinstance(pair, list | tuple) and len(pair) >= 2 and all(map(_is_number, pair[:2])):
            found.append((pair[0], pair[1]))
    return found


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _FAR
