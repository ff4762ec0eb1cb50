"""The module as it was at the start: what the new one has to agree with."""


def invoice(order):
    lines = []
    subtotal = 0
    for line in order["lines"]:
        if line["kind"] == "poster":
            amount = line["count"] * 450
            if line["count"] >= 100:
                amount = amount - amount * 20 // 100
            elif line["count"] >= 10:
                amount = amount - amount * 5 // 100
            if line.get("glossy"):
                amount = amount + line["count"] * 30
            lines.append({"text": f"{line['count']} x poster", "amount": amount})
            subtotal = subtotal + amount
        elif line["kind"] == "flyer":
            amount = line["count"] * 12
            if line["count"] >= 1000:
                amount = amount - amount * 30 // 100
            elif line["count"] >= 500:
                amount = amount - amount * 15 // 100
            if line.get("glossy"):
                amount = amount + line["count"] * 2
            lines.append({"text": f"{line['count']} x flyer", "amount": amount})
            subtotal = subtotal + amount
        elif line["kind"] == "book":
            amount = line["count"] * (300 + line["pages"] * 4)
            if line["count"] >= 50:
                amount = amount - amount * 10 // 100
            if line.get("glossy"):
                amount = amount + line["count"] * line["pages"]
            lines.append({"text": f"{line['count']} x book", "amount": amount})
            subtotal = subtotal + amount
        else:
            raise ValueError("unknown kind: " + line["kind"])
    discount = 0
    if order["customer"]["level"] == "gold":
        discount = subtotal * 8 // 100
        if order["customer"].get("years", 0) >= 5:
            discount = discount + subtotal * 2 // 100
    elif order["customer"]["level"] == "silver":
        discount = subtotal * 4 // 100
        if order["customer"].get("years", 0) >= 5:
            discount = discount + subtotal * 2 // 100
    if discount > 50000:
        discount = 50000
    shipping = 0
    if order["ship"] == "pickup":
        shipping = 0
    elif order["ship"] == "post":
        if subtotal - discount < 5000:
            shipping = 690
        elif subtotal - discount < 20000:
            shipping = 390
        else:
            shipping = 0
    elif order["ship"] == "express":
        if subtotal - discount < 5000:
            shipping = 1890
        elif subtotal - discount < 20000:
            shipping = 1590
        else:
            shipping = 1200
    else:
        raise ValueError("unknown shipping: " + order["ship"])
    tax = 0
    if order["customer"]["country"] == "DE":
        tax = (subtotal - discount + shipping) * 19 // 100
    elif order["customer"]["country"] == "AT":
        tax = (subtotal - discount + shipping) * 20 // 100
    elif order["customer"]["country"] == "CH":
        tax = 0
    else:
        tax = (subtotal - discount + shipping) * 21 // 100
    return {
        "lines": lines,
        "subtotal": subtotal,
        "discount": discount,
        "shipping": shipping,
        "tax": tax,
        "total": subtotal - discount + shipping + tax,
    }
