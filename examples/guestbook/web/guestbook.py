#!/usr/bin/env python3
"""A guestbook. GET / shows the entries, POST / adds the body as one."""

import html
import os
import signal
import sys
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

PORT = 8000
PAGE = """<!doctype html><meta charset="utf-8"><title>Guestbook</title>
<h1>Guestbook</h1><form method="post"><input name="text" autofocus> <button>Sign</button></form>
<ul>{entries}</ul>
"""


def connect():
    return psycopg2.connect(os.environ["DATABASE_URL"])


class Guestbook(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            return self.answer("ok\n", "text/plain")
        with connect() as database, database.cursor() as cursor:
            cursor.execute("SELECT text FROM entries ORDER BY id")
            entries = [row[0] for row in cursor.fetchall()]
        if "text/html" in self.headers.get("Accept", ""):
            items = "".join(f"<li>{html.escape(entry)}</li>" for entry in entries)
            return self.answer(PAGE.format(entries=items), "text/html; charset=utf-8")
        self.answer("".join(entry + "\n" for entry in entries), "text/plain; charset=utf-8")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        is_form = self.headers.get("Accept", "").startswith("text/html")
        text = urllib.parse.parse_qs(body).get("text", [""])[0] if is_form else body.strip()
        with connect() as database, database.cursor() as cursor:
            cursor.execute("INSERT INTO entries (text) VALUES (%s)", (text,))
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, text, kind):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve():
    with connect() as database, database.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS entries (id serial PRIMARY KEY, text text NOT NULL)")
    server = ThreadingHTTPServer(("", PORT), Guestbook)
    # Process 1 has no default handlers: without this, SIGTERM would do nothing. An orderly end of
    # the interpreter may wait seconds for a thread that it has ended in the middle of its log line.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"listening on port {PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2)
    else:
        serve()
