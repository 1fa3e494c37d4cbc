"""The interaction that a review becomes, the same for all."""

from typing import Any

COLUMNS = (
    "review_id, reviewed_at, contact_id, sku, product_name, category, rating, price, verified,"
    " review_text"
)


def body_of(row: dict[str, Any]) -> dict[str, Any]:
    """The body of one POST, to be written as JSON."""
    return {
        "contactId": row["contact_id"],
        "schemaId": "productReview",
        "createdDate": row["reviewed_at"].isoformat(timespec="milliseconds") + "Z",
        "payload": {
            "reviewId": row["review_id"],
            "productSku": row["sku"],
            "productName": row["product_name"],
            "category": row["category"],
            "rating": row["rating"],
            "price": float(row["price"]),
            "isVerifiedPurchase": row["verified"],
            "reviewText": row["review_text"],
        },
    }
