"""Pictures of a moment and texts about a world.

- `view`: the MapView, plain arrays of one moment of one environment, from which the pictures are made.
- `map`: the moment as an image of the globe; `land` has the outlines of the continents.
- `text_table`: the moment as a table for a terminal.
- `world_text`: a scenario's world as text, printed by `og-env show NAME`.
- `glossary`: the meaning of every term, metric, knob, operation and key of info.
"""

from og_env.render.map import frame
from og_env.render.text_table import table
from og_env.render.view import MapView, view_of
