-- A row is a published product review, whether it came from the web shop, from the app
-- (loaded once a week), or from the review platform that we left in September 2026.
--
-- review_id    the business key: one review, one interaction
-- reviewed_at  when it was written: local time in Stockholm, without a zone
-- email        what the reviewer typed, tidied up; may be anything, or nothing
--
-- Nothing is filtered away for being wrong. A row that Engage cannot take is to be seen by
-- somebody, and that is what the connector's quarantine is for.

WITH published AS (
    SELECT
        review_id,
        written_at AS reviewed_at,
        nullif(lower(trim(reviewer_email)), '') AS email,
        sku,
        -- The form posts text. TRY_CAST makes NULL of "five", so that one bad rating is
        -- reported as an invalid row instead of ending the query for all the others.
        try_cast(rating AS INTEGER) AS rating,
        title,
        body AS review_text,
        would_recommend,
        is_verified_purchase
    FROM shop.reviews
    WHERE status = 'published'
)

SELECT
    published.review_id,
    published.reviewed_at,
    published.email,
    published.sku,
    product.name AS product_name,
    product.category,
    product.brand,
    product.price,
    published.rating,
    published.title,
    published.review_text,
    published.would_recommend,
    published.is_verified_purchase
FROM published
-- LEFT: a review of a product that left the range is still a review.
LEFT JOIN shop.products AS product ON product.sku = published.sku;
