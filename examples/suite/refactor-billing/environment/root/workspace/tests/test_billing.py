import pytest
from billing import invoice


def order(*lines, level="none", country="DE", ship="pickup", years=0):
    return {"lines": list(lines), "customer": {"level": level, "country": country, "years": years}, "ship": ship}


def test_small_poster_order():
    result = invoice(order({"kind": "poster", "count": 2}))
    assert result["subtotal"] == 900
    assert result["total"] == 1071


def test_glossy_flyers():
    result = invoice(order({"kind": "flyer", "count": 500, "glossy": True}))
    assert result["lines"] == [{"text": "500 x flyer", "amount": 6100}]


def test_gold_customer_by_post():
    result = invoice(order({"kind": "book", "count": 10, "pages": 100}, level="gold", ship="post", country="CH"))
    assert (result["discount"], result["shipping"], result["tax"]) == (560, 390, 0)


def test_unknown_kind():
    with pytest.raises(ValueError, match="unknown kind: mug"):
        invoice(order({"kind": "mug", "count": 1}))
