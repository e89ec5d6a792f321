"""Writes the shop's content anew: 1,990 product pages and the list that the service searches."""

import json
import pathlib

APP = pathlib.Path(__file__).parent / "app"
KINDS = ["rye loaf", "wheat loaf", "spelt roll", "seed roll", "almond cake", "plum cake", "honey cake", "poppy roll", "walnut loaf", "apple pie"]
SIZES = ["small", "medium", "large"]


def product(number):
    kind = KINDS[number % len(KINDS)]
    size = SIZES[number // len(KINDS) % len(SIZES)]
    return {"id": number, "name": f"{size.capitalize()} {kind} no. {number}", "cents": 150 + number * 7 % 900}


def page(item):
    price = f"{item['cents'] / 100:.2f}"
    return f"<!doctype html>\n<title>{item['name']}</title>\n<h1>{item['name']}</h1>\n<p>{price} EUR</p>\n<p><a href=\"/\">All products</a></p>\n"


products = [product(number) for number in range(1, 1991)]
for item in products:
    folder = APP / "content" / "products" / f"{item['id'] // 100:02}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{item['id']:04}.html").write_text(page(item))
links = "\n".join(f'<li><a href="/products/{item["id"] // 100:02}/{item["id"]:04}">{item["name"]}</a></li>' for item in products)
(APP / "content" / "index.html").write_text(f"<!doctype html>\n<title>Shop</title>\n<h1>Shop</h1>\n<ul>\n{links}\n</ul>\n")
(APP / "products.json").write_text(json.dumps(products) + "\n")
