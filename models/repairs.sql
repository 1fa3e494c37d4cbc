-- A row is a completed repair of something that a member handed in.
--
-- repair_no     the number on the receipt, and the business key
-- completed_at  when the workshop closed the order; an instant, since the type has a zone
-- contact_id    the member's id in Engage, from the nightly export of contacts: with it at
--               hand, the connector need not look anybody up
--
-- Repairs for walk-ins, who gave no membership, concern nobody in Engage and are left out.

WITH work AS (
    SELECT
        repair_no,
        sum(price)::DECIMAL(10, 2) AS price,
        string_agg(service, ', ' ORDER BY line_no) AS services
    FROM workshop.repair_lines
    GROUP BY repair_no
)

SELECT
    repair.repair_no,
    repair.completed_at,
    repair.received_at,
    contact.contact_id::VARCHAR AS contact_id,
    repair.sku,
    product.name AS product_model,
    product.brand,
    store.store_id::VARCHAR AS store_id,  -- an id is text, even if it looks like a number
    store.name AS store_name,
    work.services,
    work.price,
    work.price = 0 AS is_free_repair,  -- the guarantee pays
    repair.customer_note
FROM workshop.repair_orders AS repair
JOIN work ON work.repair_no = repair.repair_no
JOIN crm.engage_contacts AS contact ON contact.member_number = repair.member_number
JOIN shop.products AS product ON product.sku = repair.sku
JOIN shop.stores AS store ON store.store_id = repair.store_id
WHERE repair.status = 'completed';
