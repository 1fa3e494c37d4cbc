-- A row is a completed repair of something that a member handed in.
--
-- repair_no      the number on the receipt, and the business key
-- completed_at   when the workshop closed the order; an instant, since the type has a zone
-- member_number  the customer's key in MXO: it is sent as it stands, nobody is looked up
--
-- Repairs for walk-ins, who gave no membership, are of no customer and are left out.

WITH work AS (
    SELECT
        repair_no,
        count(*) AS services,
        sum(price)::DECIMAL(10, 2) AS price
    FROM workshop.repair_lines
    GROUP BY repair_no
)

SELECT
    repair.repair_no,
    repair.member_number,
    repair.completed_at,
    store.name AS workshop,
    work.services,
    work.price
FROM workshop.repair_orders AS repair
JOIN work ON work.repair_no = repair.repair_no
JOIN shop.stores AS store ON store.store_id = repair.store_id
WHERE repair.status = 'completed' AND repair.member_number IS NOT NULL;
