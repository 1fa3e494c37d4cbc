"""ClickHouse's HTTP interface over chdb, its engine as a library, as far as clickhouse-connect
needs it: `python clickhouse.py FOLDER`; prints its port."""

import re
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

from chdb import session  # type: ignore[import-not-found,unused-ignore]

SESSION = session.Session(sys.argv[1])
FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sql = asked.get("query") or body.decode()
        named = FORMAT.search(sql)
        form = named[1] if named else asked.get("default_format", "TabSeparated")
        sql = sql[: named.start()] if named else sql
        for name, value in asked.items():
            if name.startswith("param_"):
                sql = _bound(sql, name.removeprefix("param_"), value)
        try:
            said, status = SESSION.query(sql, form).bytes() or b"", 200
        except Exception as error:
            said, status = str(error).encode(), 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("X-ClickHouse-Format", form)
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST  # noqa: N815 -- the names are those of the server

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


def _bound(sql: str, name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return re.sub(
        rf"\{{{re.escape(name)}:(\w+(\([^)]*\))?)\}}",
        lambda found: f"CAST('{escaped}' AS {found[1]})",
        sql,
    )


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
