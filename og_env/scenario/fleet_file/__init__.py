"""Files of nodes as people have them: any separator, JSON and exports of tools, other names of columns, many spellings."""

from og_env.scenario.fleet_file.headers import ALIASES, CAN_BE_MAPPED, FIELDS, MEANINGS, PLAIN, USUAL_NAMES
from og_env.scenario.fleet_file.raw_table import RawTable, read_raw
from og_env.scenario.fleet_file.spellings import MISSING, country_code, is_missing
