"""The shop's service: its version, its health, and a search through the catalogue."""

import json
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HOME = pathlib.Path(__file__).parent
VERSION = (HOME / "version.txt").read_text().strip()
PRODUCTS = json.loads((HOME / "products.json").read_text())


def search(word):
    found = [product for product in PRODUCTS if word in product["name"].lower()]
    return {"count": len(found), "products": found[:20]}


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/health":
            self.answer(200, {"status": "ok", "version": VERSION, "products": len(PRODUCTS)})
        elif url.path == "/api/search":
            self.answer(200, search(parse_qs(url.query).get("q", [""])[0].lower()))
        else:
            self.answer(404, {"error": f"nothing at {url.path}"})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8000), Shop).serve_forever()
