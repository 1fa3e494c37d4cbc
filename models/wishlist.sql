-- A row is a product that a customer put on the wishlist, once a day (UTC): who adds, removes
-- and adds again has shown one interest, not two. To remove it later takes nothing back.
--
-- customer_id, sku, added_on  together the row key
-- wishlist_entry_id           the same in one text, for the payload
-- added_at                    when it was added first on that day: UTC, without a zone

WITH first_of_the_day AS (
    SELECT
        customer_id,
        sku,
        happened_at::DATE AS added_on,
        min(happened_at) AS added_at,
        arg_min(device, happened_at) AS device
    FROM web.wishlist_events
    WHERE action = 'add'
    GROUP BY customer_id, sku, added_on
)

SELECT
    entry.customer_id,
    entry.sku,
    entry.added_on,
    entry.customer_id || ':' || entry.sku || ':' || entry.added_on AS wishlist_entry_id,
    entry.added_at,
    entry.added_at AT TIME ZONE 'UTC' AS added_date,  -- the same instant, with its zone
    lower(trim(customer.email)) AS email,
    product.name AS product_name,
    product.category,
    product.brand,
    product.price,
    product.is_eco_labelled,
    entry.device
FROM first_of_the_day AS entry
JOIN shop.customers AS customer ON customer.customer_id = entry.customer_id
JOIN shop.products AS product ON product.sku = entry.sku;
