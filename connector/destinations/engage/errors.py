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
NOT_TAKEN = (405, 411, 415)
"""What every interaction would meet, said before any work is done (RFC 9110, section 15.5)."""
SAYS_NOTHING_OF_STORING = (406, 410)
"""What every interaction would meet, too. 406 many frameworks say after the work was done, when
nothing fits what was asked for; what is gone nobody says."""
ABOUT_THE_REQUEST = (*NOT_TAKEN, *SAYS_NOTHING_OF_STORING)


def has_error_code(response: Response) -> bool:
    """Whether an Engage speaks, and of something that it knows."""
    content = json_of(response)
    return isinstance(content, dict) and any(str(name).lower() == "errorcode" for name in content)
