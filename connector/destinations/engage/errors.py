"""What the errors of an Engage say.

Facts and their gaps: developer.voyado.com ("API authentication", "API rate limit", "API retry
policy"). Where those are silent, the assumption is the one that cannot send twice or lose: a 2xx
counts only with an id, a 5xx leaves a doubt.
"""

import re

from connector.destinations.answers import Response
from connector.destinations.http import json_of

NO_SUCH_ROUTE = re.compile(r"no http resource|no action was found|no type was found", re.IGNORECASE)
MISCONFIGURED = "InvalidSystemConfiguration"
"""A 500 that will not pass by itself."""
ABOUT_THIS_INTERACTION = (400, 404, 409, 413, 422)
ABOUT_THE_REQUEST = (405, 406, 410, 411, 415)
"""What every interaction would meet. That nothing was stored it does not say: 406, for one, many
frameworks say after the work was done, when nothing fits what was asked for."""


def has_error_code(response: Response) -> bool:
    """Whether an Engage speaks, and of something that it knows."""
    content = json_of(response)
    return isinstance(content, dict) and any(str(name).lower() == "errorcode" for name in content)
