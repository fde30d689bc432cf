"""An episode as one page that a browser shows from a file: maps, charts and the list of what happened."""

from og_agents.page.document import page
from og_agents.page.film import Camera, Film, film
from og_agents.page.payload import payload

__all__ = ["Camera", "Film", "film", "page", "payload"]
