-- Kvist & Fjäll sells clothes and gear for the Nordic outdoors. What is beside this file as CSV is
-- loaded into these tables; crm.engage_contacts comes from contacts.csv.

CREATE SCHEMA shop;
CREATE SCHEMA workshop;
CREATE SCHEMA web;
CREATE SCHEMA crm;

CREATE TABLE shop.customers (
    customer_id INTEGER,
    first_name VARCHAR,
    last_name VARCHAR,
    email VARCHAR,
    city VARCHAR,
    country VARCHAR,
    member_number VARCHAR,
    created_at TIMESTAMP
);

CREATE TABLE shop.products (
    sku VARCHAR,
    name VARCHAR,
    brand VARCHAR,
    category VARCHAR,
    price DECIMAL(10, 2),
    is_eco_labelled BOOLEAN
);

CREATE TABLE shop.stores (
    store_id INTEGER,
    name VARCHAR,
    city VARCHAR,
    country VARCHAR
);

CREATE TABLE shop.reviews (
    review_id VARCHAR,
    written_at TIMESTAMP,  -- local time in Stockholm, as the review form stores it
    reviewer_email VARCHAR,
    sku VARCHAR,
    rating VARCHAR,  -- what the form posted
    title VARCHAR,
    body VARCHAR,
    would_recommend BOOLEAN,
    is_verified_purchase BOOLEAN,
    status VARCHAR
);

CREATE TABLE workshop.repair_orders (
    repair_no VARCHAR,
    member_number VARCHAR,
    store_id INTEGER,
    sku VARCHAR,
    status VARCHAR,
    received_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    customer_note VARCHAR
);

CREATE TABLE workshop.repair_lines (
    repair_no VARCHAR,
    line_no INTEGER,
    service VARCHAR,
    price DECIMAL(10, 2)
);

CREATE TABLE web.wishlist_events (
    event_id BIGINT,
    customer_id INTEGER,
    sku VARCHAR,
    action VARCHAR,
    device VARCHAR,
    happened_at TIMESTAMP  -- UTC, as the web server logs it
);

-- The nightly export of contacts from Engage back into the warehouse.
CREATE TABLE crm.engage_contacts (
    contact_id UUID,
    contact_type VARCHAR,
    email VARCHAR,
    member_number VARCHAR
);
