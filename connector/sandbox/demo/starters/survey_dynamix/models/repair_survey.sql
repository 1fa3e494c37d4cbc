-- Whom to ask how a repair went: the last finished repair of each customer with an e-mail address.
SELECT
    orders.repair_no,
    orders.completed_at,
    customers.email,
    orders.store_id AS store_no,
    stores.name AS store_name,
    products.name AS product_name
FROM workshop.repair_orders AS orders
JOIN shop.customers AS customers USING (member_number)
JOIN shop.stores AS stores USING (store_id)
JOIN shop.products AS products USING (sku)
WHERE orders.status = 'completed'
  AND orders.completed_at >= TIMESTAMPTZ '2026-11-04 00:00:00+00'
QUALIFY row_number() OVER (
    PARTITION BY customers.email ORDER BY orders.completed_at DESC, orders.repair_no
) = 1
