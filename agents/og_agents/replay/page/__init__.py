"""An episode as one page that a browser shows from a file: maps, charts and the list of what happened."""

from og_agents.replay.page.document import page
from og_agents.replay.page.film import Camera, Film, film
from og_agents.replay.page.payload import payload
