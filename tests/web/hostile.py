"""What must reach a page as text and as nothing else."""

SCRIPT = "<script>alert(1)</script>"
IMAGE = "\"><img src=x onerror='alert(2)'>"
ROWS = [
    SCRIPT,
    IMAGE,
    "javascript:alert(3)",
    "'; </textarea></title><svg onload=alert(4)>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202ekey " + "åß漢字🦊&lt;b&gt;",
    "line\r\nbreak\tand\nmore",
    "x" * 900 + SCRIPT,
]
WORDS = [f"says {SCRIPT}", f"says {IMAGE}", "says javascript:alert(5)", "long " * 2000 + IMAGE]
DESCRIPTION = f"Visits {SCRIPT}"
SCHEMA = {
    "id": "evil",
    "displayName": f"Evil {SCRIPT}",
    "jsonSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"bad": {"type": "string", "displayName": f"Bad {IMAGE}"}},
    },
}
