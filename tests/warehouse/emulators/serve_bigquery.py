"""bqemulator with a token for everybody: `python serve_bigquery.py REST GRPC TOKENS`, its ports."""

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension


class Tokens(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        said = b'{"access_token": "anybody", "expires_in": 3600, "token_type": "Bearer"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


rest, grpc, tokens = sys.argv[1:]
import_extension("spatial", con=duckdb.connect())  # it would be downloaded
threading.Thread(
    target=HTTPServer(("127.0.0.1", int(tokens)), Tokens).serve_forever, daemon=True
).start()
command = [str(Path(sys.executable).with_name("bqemulator")), "start", "--log-level", "error"]
command += ["--rest-port", rest, "--grpc-port", grpc]
os.environ["PYTHONUNBUFFERED"] = "1"
with subprocess.Popen(command) as emulator:
    signal.signal(signal.SIGTERM, lambda *_: emulator.terminate())  # it would be left alone
