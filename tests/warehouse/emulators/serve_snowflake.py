"""fakesnow's server, with what newer clients look for in the answer to a login; prints its port."""

import importlib
import time
from typing import Any

import fakesnow

start = fakesnow.server  # before the module of that name takes its place
module: Any = importlib.import_module("fakesnow.server")
answer = module.JSONResponse


def longer(content: Any, *args: Any, **options: Any) -> Any:
    """The answer, with the fields that fakesnow leaves out of that to a login."""
    data = content.get("data") if isinstance(content, dict) else None
    if isinstance(data, dict) and "token" in data:
        data["masterToken"] = data["token"]
        data |= {"validityInSeconds": 3600, "masterValidityInSeconds": 14400, "sessionId": 1}
    return answer(content, *args, **options)


def connected(*args: Any, **options: Any) -> Any:
    """A session that takes settings, of which fakesnow knows none."""
    return connect(*args, **{**options, "nop_regexes": ["^ALTER SESSION"]})


connect = module.shared_fs.connect
module.shared_fs.connect = connected
module.JSONResponse = longer
with start() as told:
    print(told["port"], flush=True)
    while True:
        time.sleep(60)
