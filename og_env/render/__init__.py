"""Pictures of a moment: a `MapView` of plain arrays goes in, a map or a table comes out."""

from og_env.render.map import frame
from og_env.render.text_table import table
from og_env.render.view import MapView, view_of

__all__ = ["MapView", "frame", "table", "view_of"]
