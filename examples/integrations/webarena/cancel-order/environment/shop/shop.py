"""A shop's back office: looks orders up and cancels them. Arguments: address, port, file of the database."""

import html
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ADDRESS, PORT, DATABASE = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
# A tenth of the price is kept where an order is cancelled.
KEPT = 10
TABLE = """
CREATE TABLE orders (number INTEGER PRIMARY KEY, customer TEXT, item TEXT, cents INTEGER, status TEXT, refund INTEGER);
INSERT INTO orders (number, customer, item, cents, status) VALUES
    (301, 'Ines Moreau', 'Copper kettle', 6150, 'open'),
    (302, 'Jan Visser', 'Blue kettle', 4650, 'open'),
    (303, 'Ines Moreau', 'Blue kettle', 4650, 'open'),
    (304, 'Ines Moreau', 'Tea tray', 2300, 'shipped');
"""


def ask(statement: str, *values: object) -> list[tuple]:
    database = sqlite3.connect(DATABASE)
    with database:
        rows = database.execute(statement, values).fetchall()
    database.close()
    return rows


def euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02} EUR"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path.startswith("/order/"):
            self.show_order(address.path.rpartition("/")[2])
            return
        name = parse_qs(address.query).get("customer", [""])[0]
        rows = ask("SELECT number, customer, item, status FROM orders WHERE customer LIKE ?", f"%{name}%")
        lines = "".join(
            f'<li><a href="/order/{number}">Order {number}</a>: {html.escape(f"{customer}, {item}, {status}")}</li>'
            for number, customer, item, status in rows
        )
        self.send(f'<form>Customer <input name="customer"><button>Search</button></form><ul>{lines}</ul>')

    def do_POST(self) -> None:
        number = self.path.removeprefix("/cancel/")
        changed = "status = 'cancelled', refund = cents - cents / ?"
        ask(f"UPDATE orders SET {changed} WHERE number = ? AND status = 'open'", KEPT, number)
        self.send_response(303)
        self.send_header("Location", f"/order/{number}")
        self.end_headers()

    def show_order(self, number: str) -> None:
        for customer, item, cents, status, refund in ask(
            "SELECT customer, item, cents, status, refund FROM orders WHERE number = ?", number
        ):
            text = f"<h1>Order {number}</h1><p>{html.escape(f'{customer}: {item}, {euros(cents)}, {status}')}</p>"
            if status == "open":
                text += f'<form method="post" action="/cancel/{number}"><button>Cancel order</button></form>'
            if refund is not None:
                text += f'<p id="refund">Refund: {euros(refund)}</p>'
            self.send(text)
            return
        self.send_error(404)

    def send(self, body: str) -> None:
        page = f"<!doctype html><title>Back office</title>{body}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass


DATABASE.parent.mkdir(parents=True, exist_ok=True)
connection = sqlite3.connect(DATABASE)
connection.executescript(TABLE)
connection.close()
ThreadingHTTPServer((ADDRESS, PORT), Page).serve_forever()
