"""An episode as one page that a browser shows from a file: maps, charts and the list of what happened."""

from agents.page.document import page
from agents.page.film import Camera, Film, film
from agents.page.payload import payload

__all__ = ["Camera", "Film", "film", "page", "payload"]
