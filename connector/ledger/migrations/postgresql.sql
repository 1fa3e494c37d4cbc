CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE ledgers (
	id INTEGER NOT NULL,
	identity VARCHAR NOT NULL,
	generation BIGINT DEFAULT '0' NOT NULL,
	server VARCHAR,
	restored_at BIGINT,
	PRIMARY KEY (id)
);

CREATE TABLE watermarks (
	activation VARCHAR NOT NULL,
	cursor VARCHAR,
	kind VARCHAR,
	value TEXT,
	floor TEXT,
	destination VARCHAR NOT NULL,
	schema_id VARCHAR NOT NULL,
	row_key TEXT NOT NULL,
	begun_at BIGINT,
	read_at BIGINT,
	held TEXT,
	edition TEXT,
	suspect BOOLEAN,
	changed_at BIGINT NOT NULL,
	PRIMARY KEY (activation)
);

CREATE TABLE deliveries (
	id BIGSERIAL NOT NULL,
	activation VARCHAR NOT NULL,
	row_key TEXT NOT NULL,
	state VARCHAR NOT NULL,
	attempt INTEGER DEFAULT '0' NOT NULL,
	run_id VARCHAR NOT NULL,
	changed_at BIGINT NOT NULL,
	interaction_id TEXT,
	digest VARCHAR,
	contact TEXT,
	contact_id TEXT,
	created_date TEXT,
	payload TEXT,
	reason TEXT,
	due_at BIGINT,
	waiting_since BIGINT,
	suspect BOOLEAN,
	PRIMARY KEY (id),
	CONSTRAINT unsent_rows_keep_their_body CHECK (state NOT IN ('pending', 'sending', 'waiting', 'in_doubt') OR (payload IS NOT NULL AND contact IS NOT NULL AND created_date IS NOT NULL)),
	CONSTRAINT delivered_rows_keep_no_body CHECK (state <> 'delivered' OR (payload IS NULL AND contact IS NULL AND contact_id IS NULL)),
	CONSTRAINT quarantined_rows_have_a_reason CHECK (state NOT IN ('invalid', 'rejected', 'in_doubt', 'discarded') OR reason IS NOT NULL),
	CONSTRAINT sent_rows_have_an_attempt_and_a_contact CHECK (state NOT IN ('sending', 'in_doubt') OR (attempt > 0 AND contact_id IS NOT NULL)),
	CONSTRAINT waiting_rows_are_due_again CHECK (state <> 'waiting' OR (waiting_since IS NOT NULL AND due_at IS NOT NULL)),
	CONSTRAINT only_delivered_rows_have_an_interaction CHECK (interaction_id IS NULL OR state IN ('delivered', 'undone'))
);

CREATE UNIQUE INDEX deliveries_key ON deliveries (activation, row_key);

CREATE INDEX deliveries_interaction ON deliveries (substr(interaction_id, 1, 8)) WHERE interaction_id IS NOT NULL;

CREATE INDEX deliveries_open ON deliveries (activation, state, id) WHERE state <> 'delivered';

CREATE TABLE attempts (
	delivery_id BIGINT NOT NULL,
	number INTEGER NOT NULL,
	run_id VARCHAR NOT NULL,
	opened_at BIGINT NOT NULL,
	closed_at BIGINT,
	outcome VARCHAR,
	http_status INTEGER,
	reason TEXT,
	PRIMARY KEY (delivery_id, number),
	CONSTRAINT closed_with_an_outcome CHECK ((closed_at IS NULL) = (outcome IS NULL)),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id)
);

CREATE TABLE decisions (
	id BIGSERIAL NOT NULL,
	delivery_id BIGINT NOT NULL,
	at BIGINT NOT NULL,
	by TEXT NOT NULL,
	decision VARCHAR NOT NULL,
	was VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	reason TEXT,
	note TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id)
);

CREATE INDEX ix_decisions_delivery_id ON decisions (delivery_id);

CREATE TABLE contacts (
	destination VARCHAR NOT NULL,
	digest VARCHAR NOT NULL,
	identifier VARCHAR NOT NULL,
	contact_id VARCHAR NOT NULL,
	looked_up_at BIGINT NOT NULL,
	PRIMARY KEY (destination, digest)
);

CREATE INDEX contacts_by_age ON contacts (destination, looked_up_at);

CREATE TABLE runs (
	run_id VARCHAR NOT NULL,
	activation VARCHAR NOT NULL,
	status VARCHAR NOT NULL,
	started_at BIGINT NOT NULL,
	finished_at BIGINT,
	read INTEGER DEFAULT '0' NOT NULL,
	staged INTEGER DEFAULT '0' NOT NULL,
	delivered INTEGER DEFAULT '0' NOT NULL,
	invalid INTEGER DEFAULT '0' NOT NULL,
	rejected INTEGER DEFAULT '0' NOT NULL,
	waiting INTEGER DEFAULT '0' NOT NULL,
	in_doubt INTEGER DEFAULT '0' NOT NULL,
	pending INTEGER DEFAULT '0' NOT NULL,
	watermark TEXT,
	error TEXT,
	notes TEXT,
	contacts TEXT,
	PRIMARY KEY (run_id)
);

CREATE INDEX runs_by_activation ON runs (activation, started_at);

CREATE TABLE migrations (
	id BIGSERIAL NOT NULL,
	destination VARCHAR NOT NULL,
	schema_id VARCHAR NOT NULL,
	step VARCHAR NOT NULL,
	was TEXT NOT NULL,
	definition TEXT NOT NULL,
	interactions INTEGER NOT NULL,
	by TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	asked_at BIGINT,
	changed_at BIGINT NOT NULL,
	finished_at BIGINT,
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX migrations_under_way ON migrations (destination, schema_id) WHERE finished_at IS NULL;

CREATE TABLE migrated_rows (
	delivery_id BIGINT NOT NULL,
	migration BIGINT NOT NULL,
	moved BOOLEAN NOT NULL,
	interaction_id TEXT,
	digest VARCHAR,
	contact TEXT,
	created_date TEXT,
	payload TEXT,
	reason TEXT,
	PRIMARY KEY (delivery_id),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id),
	FOREIGN KEY(migration) REFERENCES migrations (id)
);

CREATE INDEX ix_migrated_rows_migration ON migrated_rows (migration);

CREATE INDEX ix_migrated_rows_interaction_id ON migrated_rows (interaction_id);

CREATE TABLE pauses (
	activation VARCHAR NOT NULL,
	at BIGINT NOT NULL,
	by TEXT NOT NULL,
	migration BIGINT,
	PRIMARY KEY (activation),
	FOREIGN KEY(migration) REFERENCES migrations (id)
);

CREATE TABLE leases (
	activation VARCHAR NOT NULL,
	fence BIGINT NOT NULL,
	run_id VARCHAR,
	holder TEXT,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (activation)
);

CREATE FUNCTION deliveries_first_state() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger does not allow this move' USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER deliveries_first_state BEFORE INSERT ON deliveries FOR EACH ROW WHEN (NEW.state <> 'pending' AND NEW.state <> 'invalid' AND NEW.state <> 'discarded') EXECUTE FUNCTION deliveries_first_state();

CREATE FUNCTION deliveries_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger does not allow this move' USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER deliveries_move BEFORE UPDATE OF state ON deliveries FOR EACH ROW WHEN (OLD.state <> NEW.state AND NOT ((OLD.state = 'pending' AND NEW.state = 'sending') OR (OLD.state = 'pending' AND NEW.state = 'waiting') OR (OLD.state = 'pending' AND NEW.state = 'in_doubt') OR (OLD.state = 'pending' AND NEW.state = 'rejected') OR (OLD.state = 'pending' AND NEW.state = 'delivered') OR (OLD.state = 'pending' AND NEW.state = 'discarded') OR (OLD.state = 'waiting' AND NEW.state = 'sending') OR (OLD.state = 'waiting' AND NEW.state = 'in_doubt') OR (OLD.state = 'waiting' AND NEW.state = 'rejected') OR (OLD.state = 'waiting' AND NEW.state = 'discarded') OR (OLD.state = 'sending' AND NEW.state = 'delivered') OR (OLD.state = 'sending' AND NEW.state = 'rejected') OR (OLD.state = 'sending' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'in_doubt') OR (OLD.state = 'in_doubt' AND NEW.state = 'delivered') OR (OLD.state = 'in_doubt' AND NEW.state = 'rejected') OR (OLD.state = 'in_doubt' AND NEW.state = 'pending') OR (OLD.state = 'in_doubt' AND NEW.state = 'discarded') OR (OLD.state = 'invalid' AND NEW.state = 'pending') OR (OLD.state = 'invalid' AND NEW.state = 'discarded') OR (OLD.state = 'rejected' AND NEW.state = 'pending') OR (OLD.state = 'rejected' AND NEW.state = 'invalid') OR (OLD.state = 'rejected' AND NEW.state = 'discarded') OR (OLD.state = 'delivered' AND NEW.state = 'undone') OR (OLD.state = 'undone' AND NEW.state = 'pending'))) EXECUTE FUNCTION deliveries_move();

ALTER TABLE watermarks ADD COLUMN type VARCHAR;

ALTER TABLE watermarks ADD COLUMN address TEXT;

ALTER TABLE watermarks ADD COLUMN key_kinds TEXT;

ALTER TABLE watermarks ADD COLUMN rereads TEXT;

ALTER TABLE attempts ADD COLUMN boot BIGINT;

ALTER TABLE attempts ADD COLUMN boot_at BIGINT;

ALTER TABLE attempts ADD COLUMN destination_at BIGINT;

CREATE TABLE removed_interactions (
	digest VARCHAR NOT NULL,
	delivery_id BIGINT NOT NULL,
	PRIMARY KEY (digest, delivery_id),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id)
);

ALTER TABLE leases ADD COLUMN writes BIGINT DEFAULT '0' NOT NULL;

CREATE TABLE delivery_counts (
	activation VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	day INTEGER NOT NULL,
	number INTEGER NOT NULL,
	PRIMARY KEY (activation, state, day)
);

ALTER TABLE runs ADD COLUMN undone INTEGER DEFAULT '0' NOT NULL;

CREATE FUNCTION deliveries_counted_by_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM (SELECT activation, state, changed_at / 86400000 AS day, +1 AS n FROM new_rows WHERE state IN ('delivered', 'discarded', 'undone')) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
     RETURN NULL; END $$;

CREATE TRIGGER deliveries_counted_by_insert AFTER INSERT ON deliveries REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_by_insert();

CREATE FUNCTION deliveries_counted_by_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM (SELECT activation, state, changed_at / 86400000 AS day, -1 AS n FROM old_rows WHERE state IN ('delivered', 'discarded', 'undone')) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
     RETURN NULL; END $$;

CREATE TRIGGER deliveries_counted_by_delete AFTER DELETE ON deliveries REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_by_delete();

CREATE FUNCTION deliveries_counted_by_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM (SELECT activation, state, changed_at / 86400000 AS day, +1 AS n FROM new_rows WHERE state IN ('delivered', 'discarded', 'undone') UNION ALL SELECT activation, state, changed_at / 86400000 AS day, -1 AS n FROM old_rows WHERE state IN ('delivered', 'discarded', 'undone')) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
    UPDATE runs SET undone = undone + moved.n FROM (
        SELECT o.run_id, count(*) AS n FROM old_rows o JOIN new_rows n ON n.id = o.id
        WHERE o.state = 'delivered' AND n.state = 'undone' GROUP BY 1
    ) AS moved WHERE runs.run_id = moved.run_id;
 RETURN NULL; END $$;

CREATE TRIGGER deliveries_counted_by_update AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_by_update();

ALTER TABLE watermarks ADD COLUMN left_behind INTEGER;

ALTER TABLE runs ADD COLUMN kind VARCHAR;

ALTER TABLE runs ADD COLUMN retryable BOOLEAN;

CREATE TABLE services (
	id VARCHAR NOT NULL,
	holder TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	schedules TEXT NOT NULL,
	PRIMARY KEY (id)
);

ALTER TABLE watermarks ADD COLUMN origin VARCHAR;

CREATE TABLE requests (
	id BIGSERIAL NOT NULL,
	activation VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	reference VARCHAR NOT NULL,
	theirs TEXT,
	rows INTEGER NOT NULL,
	digest VARCHAR NOT NULL,
	times INTEGER DEFAULT '1' NOT NULL,
	opened_at BIGINT NOT NULL,
	closed_at BIGINT,
	outcome VARCHAR,
	http_status INTEGER,
	reason TEXT,
	seen_at BIGINT,
	known_at BIGINT,
	asked_at BIGINT,
	next_at BIGINT,
	ended_at BIGINT,
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX requests_reference ON requests (activation, reference);

CREATE INDEX requests_open ON requests (activation, id) WHERE ended_at IS NULL;

ALTER TABLE attempts ADD COLUMN request BIGINT;

ALTER TABLE attempts ADD COLUMN place INTEGER;

CREATE INDEX attempts_request ON attempts (request) WHERE request IS NOT NULL;

ALTER TABLE runs ADD COLUMN submitted INTEGER DEFAULT '0' NOT NULL;

DROP TRIGGER deliveries_move ON deliveries;

DROP FUNCTION deliveries_move();

CREATE FUNCTION deliveries_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger does not allow this move' USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER deliveries_move BEFORE UPDATE OF state ON deliveries FOR EACH ROW WHEN (OLD.state <> NEW.state AND NOT ((OLD.state = 'pending' AND NEW.state = 'sending') OR (OLD.state = 'pending' AND NEW.state = 'waiting') OR (OLD.state = 'pending' AND NEW.state = 'in_doubt') OR (OLD.state = 'pending' AND NEW.state = 'rejected') OR (OLD.state = 'pending' AND NEW.state = 'delivered') OR (OLD.state = 'pending' AND NEW.state = 'discarded') OR (OLD.state = 'waiting' AND NEW.state = 'sending') OR (OLD.state = 'waiting' AND NEW.state = 'in_doubt') OR (OLD.state = 'waiting' AND NEW.state = 'rejected') OR (OLD.state = 'waiting' AND NEW.state = 'discarded') OR (OLD.state = 'sending' AND NEW.state = 'delivered') OR (OLD.state = 'sending' AND NEW.state = 'rejected') OR (OLD.state = 'sending' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'in_doubt') OR (OLD.state = 'in_doubt' AND NEW.state = 'delivered') OR (OLD.state = 'in_doubt' AND NEW.state = 'rejected') OR (OLD.state = 'in_doubt' AND NEW.state = 'pending') OR (OLD.state = 'in_doubt' AND NEW.state = 'discarded') OR (OLD.state = 'invalid' AND NEW.state = 'pending') OR (OLD.state = 'invalid' AND NEW.state = 'discarded') OR (OLD.state = 'rejected' AND NEW.state = 'pending') OR (OLD.state = 'rejected' AND NEW.state = 'invalid') OR (OLD.state = 'rejected' AND NEW.state = 'discarded') OR (OLD.state = 'delivered' AND NEW.state = 'undone') OR (OLD.state = 'undone' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'submitted') OR (OLD.state = 'submitted' AND NEW.state = 'delivered') OR (OLD.state = 'submitted' AND NEW.state = 'rejected') OR (OLD.state = 'submitted' AND NEW.state = 'in_doubt') OR (OLD.state = 'submitted' AND NEW.state = 'discarded') OR (OLD.state = 'in_doubt' AND NEW.state = 'submitted') OR (OLD.state = 'pending' AND NEW.state = 'submitted'))) EXECUTE FUNCTION deliveries_move();

CREATE FUNCTION deliveries_submitted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger does not allow this move' USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER deliveries_submitted BEFORE UPDATE OF state, attempt, payload, contact, created_date, contact_id ON deliveries FOR EACH ROW WHEN (NEW.state = 'submitted' AND (NEW.attempt = 0 OR NEW.payload IS NULL OR NEW.contact IS NULL OR NEW.created_date IS NULL OR NEW.contact_id IS NULL)) EXECUTE FUNCTION deliveries_submitted();

CREATE TABLE trials (
	id BIGSERIAL NOT NULL,
	destination VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	aim VARCHAR NOT NULL,
	target VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	activation VARCHAR,
	row_key TEXT,
	reference VARCHAR,
	contact TEXT,
	created_date TEXT,
	payload TEXT,
	opened_at BIGINT NOT NULL,
	closed_at BIGINT,
	outcome VARCHAR,
	http_status INTEGER,
	interaction_id TEXT,
	digest VARCHAR,
	ended_at BIGINT,
	holder TEXT,
	boot BIGINT,
	boot_at BIGINT,
	destination_at BIGINT,
	PRIMARY KEY (id),
	CONSTRAINT ended_trials_keep_no_body CHECK (state IN ('open', 'kept') OR (contact IS NULL AND payload IS NULL)),
	CONSTRAINT an_id_is_known_by_its_digest CHECK ((interaction_id IS NULL) = (digest IS NULL))
);

CREATE INDEX trials_interaction ON trials (digest) WHERE digest IS NOT NULL;

CREATE INDEX trials_open ON trials (type, address) WHERE state = 'open';

ALTER TABLE requests ADD COLUMN proof VARCHAR DEFAULT 'request' NOT NULL;

ALTER TABLE runs ADD COLUMN resent INTEGER DEFAULT '0' NOT NULL;

ALTER TABLE runs ADD COLUMN assumed INTEGER DEFAULT '0' NOT NULL;

ALTER TABLE requests ADD COLUMN done_at BIGINT;

ALTER TABLE requests ADD COLUMN absent_at BIGINT;

CREATE TABLE receipts (
	receipt_id VARCHAR NOT NULL,
	activation VARCHAR NOT NULL,
	began_at BIGINT NOT NULL,
	finished_at BIGINT NOT NULL,
	until BIGINT NOT NULL,
	rows INTEGER NOT NULL,
	interactions INTEGER NOT NULL,
	missing INTEGER NOT NULL,
	twice INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	not_proven INTEGER NOT NULL,
	result VARCHAR NOT NULL,
	document TEXT NOT NULL,
	key VARCHAR NOT NULL,
	signature VARCHAR NOT NULL,
	deviations TEXT NOT NULL,
	PRIMARY KEY (receipt_id)
);

CREATE INDEX receipts_by_activation ON receipts (activation, began_at);

CREATE TABLE verifications (
	activation VARCHAR NOT NULL,
	began_at BIGINT NOT NULL,
	holder TEXT NOT NULL,
	token VARCHAR NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (activation)
);

CREATE TABLE probes (
	id BIGSERIAL NOT NULL,
	destination VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	measured_at BIGINT NOT NULL,
	document TEXT NOT NULL,
	PRIMARY KEY (id)
);

ALTER TABLE deliveries ADD COLUMN about VARCHAR;

ALTER TABLE deliveries ADD COLUMN source VARCHAR;

ALTER TABLE runs ADD COLUMN removed INTEGER DEFAULT '0' NOT NULL;

ALTER TABLE runs ADD COLUMN replaced INTEGER DEFAULT '0' NOT NULL;

CREATE TABLE changes (
	delivery_id BIGINT NOT NULL,
	aim VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	found_at BIGINT NOT NULL,
	approved INTEGER,
	asked_at BIGINT,
	due_at BIGINT,
	refused TEXT,
	suspect BOOLEAN,
	contact TEXT,
	created_date TEXT,
	payload TEXT,
	digest VARCHAR,
	about VARCHAR,
	source VARCHAR,
	invalid TEXT,
	PRIMARY KEY (delivery_id),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id)
);

DROP TRIGGER deliveries_move ON deliveries;

DROP FUNCTION deliveries_move();

CREATE FUNCTION deliveries_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger does not allow this move' USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER deliveries_move BEFORE UPDATE OF state ON deliveries FOR EACH ROW WHEN (OLD.state <> NEW.state AND NOT ((OLD.state = 'pending' AND NEW.state = 'sending') OR (OLD.state = 'pending' AND NEW.state = 'waiting') OR (OLD.state = 'pending' AND NEW.state = 'in_doubt') OR (OLD.state = 'pending' AND NEW.state = 'rejected') OR (OLD.state = 'pending' AND NEW.state = 'delivered') OR (OLD.state = 'pending' AND NEW.state = 'discarded') OR (OLD.state = 'waiting' AND NEW.state = 'sending') OR (OLD.state = 'waiting' AND NEW.state = 'in_doubt') OR (OLD.state = 'waiting' AND NEW.state = 'rejected') OR (OLD.state = 'waiting' AND NEW.state = 'discarded') OR (OLD.state = 'sending' AND NEW.state = 'delivered') OR (OLD.state = 'sending' AND NEW.state = 'rejected') OR (OLD.state = 'sending' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'in_doubt') OR (OLD.state = 'in_doubt' AND NEW.state = 'delivered') OR (OLD.state = 'in_doubt' AND NEW.state = 'rejected') OR (OLD.state = 'in_doubt' AND NEW.state = 'pending') OR (OLD.state = 'in_doubt' AND NEW.state = 'discarded') OR (OLD.state = 'invalid' AND NEW.state = 'pending') OR (OLD.state = 'invalid' AND NEW.state = 'discarded') OR (OLD.state = 'rejected' AND NEW.state = 'pending') OR (OLD.state = 'rejected' AND NEW.state = 'invalid') OR (OLD.state = 'rejected' AND NEW.state = 'discarded') OR (OLD.state = 'delivered' AND NEW.state = 'undone') OR (OLD.state = 'undone' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'submitted') OR (OLD.state = 'submitted' AND NEW.state = 'delivered') OR (OLD.state = 'submitted' AND NEW.state = 'rejected') OR (OLD.state = 'submitted' AND NEW.state = 'in_doubt') OR (OLD.state = 'submitted' AND NEW.state = 'discarded') OR (OLD.state = 'in_doubt' AND NEW.state = 'submitted') OR (OLD.state = 'pending' AND NEW.state = 'submitted') OR (OLD.state = 'pending' AND NEW.state = 'removed') OR (OLD.state = 'waiting' AND NEW.state = 'removed') OR (OLD.state = 'invalid' AND NEW.state = 'removed') OR (OLD.state = 'rejected' AND NEW.state = 'removed') OR (OLD.state = 'delivered' AND NEW.state = 'removed') OR (OLD.state = 'pending' AND NEW.state = 'invalid') OR (OLD.state = 'waiting' AND NEW.state = 'pending') OR (OLD.state = 'waiting' AND NEW.state = 'invalid') OR (OLD.state = 'delivered' AND NEW.state = 'pending') OR (OLD.state = 'delivered' AND NEW.state = 'invalid') OR (OLD.state = 'removed' AND NEW.state = 'pending') OR (OLD.state = 'removed' AND NEW.state = 'invalid'))) EXECUTE FUNCTION deliveries_move();

CREATE FUNCTION deliveries_replaced() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger does not allow this move' USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER deliveries_replaced BEFORE UPDATE OF state ON deliveries FOR EACH ROW WHEN (OLD.state = 'delivered' AND (NEW.state = 'pending' OR NEW.state = 'invalid') AND (OLD.interaction_id IS NULL OR NEW.interaction_id IS NOT NULL OR NEW.attempt = OLD.attempt)) EXECUTE FUNCTION deliveries_replaced();

DROP TRIGGER deliveries_counted_by_insert ON deliveries;

DROP FUNCTION deliveries_counted_by_insert();

DROP TRIGGER deliveries_counted_by_delete ON deliveries;

DROP FUNCTION deliveries_counted_by_delete();

DROP TRIGGER deliveries_counted_by_update ON deliveries;

DROP FUNCTION deliveries_counted_by_update();

CREATE FUNCTION deliveries_counted_by_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM (SELECT activation, state, changed_at / 86400000 AS day, +1 AS n FROM new_rows WHERE state IN ('delivered', 'discarded', 'undone', 'removed')) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
     RETURN NULL; END $$;

CREATE TRIGGER deliveries_counted_by_insert AFTER INSERT ON deliveries REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_by_insert();

CREATE FUNCTION deliveries_counted_by_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM (SELECT activation, state, changed_at / 86400000 AS day, -1 AS n FROM old_rows WHERE state IN ('delivered', 'discarded', 'undone', 'removed')) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
     RETURN NULL; END $$;

CREATE TRIGGER deliveries_counted_by_delete AFTER DELETE ON deliveries REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_by_delete();

CREATE FUNCTION deliveries_counted_by_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM (SELECT activation, state, changed_at / 86400000 AS day, +1 AS n FROM new_rows WHERE state IN ('delivered', 'discarded', 'undone', 'removed') UNION ALL SELECT activation, state, changed_at / 86400000 AS day, -1 AS n FROM old_rows WHERE state IN ('delivered', 'discarded', 'undone', 'removed')) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
    UPDATE runs SET undone = undone + moved.n FROM (
        SELECT o.run_id, count(*) AS n FROM old_rows o JOIN new_rows n ON n.id = o.id
        WHERE o.state = 'delivered' AND n.state = 'undone' GROUP BY 1
    ) AS moved WHERE runs.run_id = moved.run_id;
 RETURN NULL; END $$;

CREATE TRIGGER deliveries_counted_by_update AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_by_update();

ALTER TABLE deliveries DROP CONSTRAINT only_delivered_rows_have_an_interaction;

ALTER TABLE deliveries ADD CONSTRAINT only_delivered_rows_have_an_interaction CHECK (interaction_id IS NULL OR state IN ('delivered', 'undone', 'removed'));

ALTER TABLE runs ADD COLUMN by TEXT;

CREATE TABLE approvals (
	id BIGSERIAL NOT NULL,
	activation VARCHAR NOT NULL,
	run_id VARCHAR,
	at BIGINT NOT NULL,
	by TEXT NOT NULL,
	note TEXT,
	digest VARCHAR NOT NULL,
	shown TEXT NOT NULL,
	expires_at BIGINT,
	used_by VARCHAR,
	used_at BIGINT,
	void TEXT,
	PRIMARY KEY (id)
);

CREATE INDEX approvals_by_activation ON approvals (activation, id);

CREATE TABLE audit (
	id BIGSERIAL NOT NULL,
	at BIGINT NOT NULL,
	by TEXT NOT NULL,
	what VARCHAR NOT NULL,
	activation VARCHAR,
	run_id VARCHAR,
	details TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX audit_by_activation ON audit (activation, id);

CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit list is only added to'; END $$;

CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

ALTER TABLE runs ADD COLUMN due INTEGER;

ALTER TABLE runs ADD COLUMN matched FLOAT;

ALTER TABLE runs ADD COLUMN empty BOOLEAN;

ALTER TABLE runs ADD COLUMN comparable BOOLEAN;

CREATE TABLE turns (
	delivery_id BIGINT NOT NULL,
	attempt INTEGER NOT NULL,
	activation VARCHAR NOT NULL,
	contact VARCHAR NOT NULL,
	at BIGINT NOT NULL,
	void BOOLEAN NOT NULL,
	cap VARCHAR,
	PRIMARY KEY (delivery_id, attempt)
);

CREATE INDEX turns_by_contact ON turns (activation, contact, at);

CREATE INDEX turns_waiting ON turns (activation, at) WHERE cap IS NOT NULL;

ALTER TABLE runs ADD COLUMN dbt_model TEXT;

ALTER TABLE runs ADD COLUMN relation TEXT;

ALTER TABLE runs ADD COLUMN tag TEXT;

ALTER TABLE runs ADD COLUMN done BOOLEAN;

CREATE INDEX runs_by_tag ON runs (tag) WHERE tag IS NOT NULL;

ALTER TABLE runs ADD COLUMN rests TEXT;

CREATE TABLE rates (
	key_hash VARCHAR NOT NULL,
	rate FLOAT,
	changed_at BIGINT,
	slowed_until BIGINT,
	PRIMARY KEY (key_hash)
);

CREATE TABLE rate_shares (
	key_hash VARCHAR NOT NULL,
	holder VARCHAR NOT NULL,
	rate FLOAT NOT NULL,
	wants FLOAT NOT NULL,
	share FLOAT NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (key_hash, holder)
);

CREATE TABLE tempos (
	run_id VARCHAR NOT NULL,
	document TEXT NOT NULL,
	PRIMARY KEY (run_id)
);

ALTER TABLE deliveries DROP CONSTRAINT unsent_rows_keep_their_body, DROP CONSTRAINT quarantined_rows_have_a_reason, DROP CONSTRAINT only_delivered_rows_have_an_interaction, ADD CONSTRAINT unsent_rows_keep_their_body CHECK ((state <> 'pending' AND state <> 'sending' AND state <> 'waiting' AND state <> 'in_doubt') OR (payload IS NOT NULL AND contact IS NOT NULL AND created_date IS NOT NULL)), ADD CONSTRAINT quarantined_rows_have_a_reason CHECK ((state <> 'invalid' AND state <> 'rejected' AND state <> 'in_doubt' AND state <> 'discarded') OR reason IS NOT NULL), ADD CONSTRAINT only_delivered_rows_have_an_interaction CHECK (interaction_id IS NULL OR (state = 'delivered' OR state = 'undone' OR state = 'removed'));

ALTER TABLE runs ADD COLUMN first_delivery BIGINT;

ALTER TABLE runs ADD COLUMN last_delivery BIGINT;

CREATE TABLE pruned (
	number SERIAL NOT NULL,
	activation VARCHAR NOT NULL,
	rows BIGINT DEFAULT '0' NOT NULL,
	runs BIGINT DEFAULT '0' NOT NULL,
	before BIGINT,
	day INTEGER DEFAULT '0' NOT NULL,
	PRIMARY KEY (number),
	UNIQUE (activation)
);

CREATE TABLE pruned_keys (
	activation INTEGER NOT NULL,
	high BIGINT NOT NULL,
	low BIGINT NOT NULL,
	PRIMARY KEY (activation, high, low)
);

CREATE TABLE pruned_interactions (
	high BIGINT NOT NULL,
	low BIGINT NOT NULL,
	activation INTEGER NOT NULL,
	PRIMARY KEY (high, low, activation)
);

CREATE INDEX removed_interactions_of ON removed_interactions (delivery_id);

CREATE INDEX runs_in_order ON runs (started_at, run_id);

CREATE INDEX runs_not_well ON runs (started_at, run_id, status) WHERE status <> 'succeeded';

ALTER TABLE watermarks ADD COLUMN reference_prefix VARCHAR;

ALTER TABLE watermarks ADD COLUMN identifier TEXT;

INSERT INTO alembic_version (version_num) VALUES ('0028')
