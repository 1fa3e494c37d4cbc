-- A day of business, which may come twice: three reviews, near the newest of the sample.

-- Committed late, with a time before the newest that was there: must be sent.
INSERT INTO shop.reviews
SELECT
    'W-00637', '2026-11-14 18:02:31.907455', email, 'KF-2001', '5', 'Kom fram!',
    'Skrev detta på fjället utan täckning. Jackan höll tätt hela vägen.',
    true, true, 'published'
FROM shop.customers
WHERE customer_id = 10007
  AND NOT EXISTS (SELECT 1 FROM shop.reviews WHERE review_id = 'W-00637');

-- Broke the schema and no longer does: must be sent.
UPDATE shop.reviews SET rating = '5' WHERE review_id = 'W-00634';

-- Was delivered, then its text changed: must not be sent again.
UPDATE shop.reviews SET body = 'Ändrat: efter en vecka tycker jag fortfarande detsamma.'
WHERE review_id = 'W-00635';
