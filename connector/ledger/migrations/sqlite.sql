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
	changed_at BIGINT NOT NULL, type VARCHAR, address TEXT, key_kinds TEXT, rereads TEXT, left_behind INTEGER, origin VARCHAR, reference_prefix VARCHAR, identifier TEXT,
	PRIMARY KEY (activation)
);

CREATE TABLE deliveries (
	id INTEGER NOT NULL,
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
	suspect BOOLEAN, about VARCHAR, source VARCHAR,
	PRIMARY KEY (id),
	CONSTRAINT unsent_rows_keep_their_body CHECK ((state <> 'pending' AND state <> 'sending' AND state <> 'waiting' AND state <> 'in_doubt') OR (payload IS NOT NULL AND contact IS NOT NULL AND created_date IS NOT NULL)),
	CONSTRAINT delivered_rows_keep_no_body CHECK (state <> 'delivered' OR (payload IS NULL AND contact IS NULL AND contact_id IS NULL)),
	CONSTRAINT quarantined_rows_have_a_reason CHECK ((state <> 'invalid' AND state <> 'rejected' AND state <> 'in_doubt' AND state <> 'discarded') OR reason IS NOT NULL),
	CONSTRAINT sent_rows_have_an_attempt_and_a_contact CHECK (state NOT IN ('sending', 'in_doubt') OR (attempt > 0 AND contact_id IS NOT NULL)),
	CONSTRAINT waiting_rows_are_due_again CHECK (state <> 'waiting' OR (waiting_since IS NOT NULL AND due_at IS NOT NULL)),
	CONSTRAINT only_delivered_rows_have_an_interaction CHECK (interaction_id IS NULL OR (state = 'delivered' OR state = 'undone' OR state = 'removed'))
);

CREATE UNIQUE INDEX deliveries_key ON deliveries (activation, row_key);

CREATE INDEX deliveries_interaction ON deliveries (substr(interaction_id, 1, 8)) WHERE interaction_id IS NOT NULL;

CREATE INDEX deliveries_open ON deliveries (activation, state, id) WHERE state <> 'delivered';

CREATE TABLE attempts (
	delivery_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	run_id VARCHAR NOT NULL,
	opened_at BIGINT NOT NULL,
	closed_at BIGINT,
	outcome VARCHAR,
	http_status INTEGER,
	reason TEXT, boot BIGINT, boot_at BIGINT, destination_at BIGINT, request INTEGER, place INTEGER,
	PRIMARY KEY (delivery_id, number),
	CONSTRAINT closed_with_an_outcome CHECK ((closed_at IS NULL) = (outcome IS NULL)),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id)
)
 WITHOUT ROWID;

CREATE TABLE decisions (
	id INTEGER NOT NULL,
	delivery_id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	"by" TEXT NOT NULL,
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
)
 WITHOUT ROWID;

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
	contacts TEXT, undone INTEGER DEFAULT '0' NOT NULL, kind VARCHAR, retryable BOOLEAN, submitted INTEGER DEFAULT '0' NOT NULL, resent INTEGER DEFAULT '0' NOT NULL, assumed INTEGER DEFAULT '0' NOT NULL, removed INTEGER DEFAULT '0' NOT NULL, replaced INTEGER DEFAULT '0' NOT NULL, "by" TEXT, due INTEGER, matched FLOAT, empty BOOLEAN, comparable BOOLEAN, dbt_model TEXT, relation TEXT, tag TEXT, done BOOLEAN, rests TEXT, first_delivery BIGINT, last_delivery BIGINT,
	PRIMARY KEY (run_id)
);

CREATE INDEX runs_by_activation ON runs (activation, started_at);

CREATE TABLE migrations (
	id INTEGER NOT NULL,
	destination VARCHAR NOT NULL,
	schema_id VARCHAR NOT NULL,
	step VARCHAR NOT NULL,
	was TEXT NOT NULL,
	definition TEXT NOT NULL,
	interactions INTEGER NOT NULL,
	"by" TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	asked_at BIGINT,
	changed_at BIGINT NOT NULL,
	finished_at BIGINT,
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX migrations_under_way ON migrations (destination, schema_id) WHERE finished_at IS NULL;

CREATE TABLE migrated_rows (
	delivery_id INTEGER NOT NULL,
	migration INTEGER NOT NULL,
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
	"by" TEXT NOT NULL,
	migration INTEGER,
	PRIMARY KEY (activation),
	FOREIGN KEY(migration) REFERENCES migrations (id)
);

CREATE TABLE leases (
	activation VARCHAR NOT NULL,
	fence BIGINT NOT NULL,
	run_id VARCHAR,
	holder TEXT,
	expires_at BIGINT NOT NULL, writes BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (activation)
);

CREATE TRIGGER deliveries_first_state BEFORE INSERT ON deliveries WHEN NEW.state <> 'pending' AND NEW.state <> 'invalid' AND NEW.state <> 'discarded' BEGIN SELECT RAISE(ABORT, 'the ledger does not allow this move'); END;

CREATE TABLE removed_interactions (
	digest VARCHAR NOT NULL,
	delivery_id INTEGER NOT NULL,
	PRIMARY KEY (digest, delivery_id),
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id)
)
 WITHOUT ROWID;

CREATE TABLE delivery_counts (
	activation VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	day INTEGER NOT NULL,
	number INTEGER NOT NULL,
	PRIMARY KEY (activation, state, day)
)
 WITHOUT ROWID;

CREATE TRIGGER deliveries_undone AFTER UPDATE OF state ON deliveries WHEN OLD.state = 'delivered' AND NEW.state = 'undone' BEGIN UPDATE runs SET undone = undone + 1 WHERE run_id = OLD.run_id; END;

CREATE TABLE services (
	id VARCHAR NOT NULL,
	holder TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	schedules TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE requests (
	id INTEGER NOT NULL,
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
	ended_at BIGINT, proof VARCHAR DEFAULT 'request' NOT NULL, done_at BIGINT, absent_at BIGINT,
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX requests_reference ON requests (activation, reference);

CREATE INDEX requests_open ON requests (activation, id) WHERE ended_at IS NULL;

CREATE INDEX attempts_request ON attempts (request) WHERE request IS NOT NULL;

CREATE TRIGGER deliveries_submitted BEFORE UPDATE OF state, attempt, payload, contact, created_date, contact_id ON deliveries WHEN NEW.state = 'submitted' AND (NEW.attempt = 0 OR NEW.payload IS NULL OR NEW.contact IS NULL OR NEW.created_date IS NULL OR NEW.contact_id IS NULL) BEGIN SELECT RAISE(ABORT, 'the ledger does not allow this move'); END;

CREATE TABLE trials (
	id INTEGER NOT NULL,
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
	"key" VARCHAR NOT NULL,
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
	id INTEGER NOT NULL,
	destination VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	measured_at BIGINT NOT NULL,
	document TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE changes (
	delivery_id INTEGER NOT NULL,
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

CREATE TRIGGER deliveries_move BEFORE UPDATE OF state ON deliveries WHEN OLD.state <> NEW.state AND NOT ((OLD.state = 'pending' AND NEW.state = 'sending') OR (OLD.state = 'pending' AND NEW.state = 'waiting') OR (OLD.state = 'pending' AND NEW.state = 'in_doubt') OR (OLD.state = 'pending' AND NEW.state = 'rejected') OR (OLD.state = 'pending' AND NEW.state = 'delivered') OR (OLD.state = 'pending' AND NEW.state = 'discarded') OR (OLD.state = 'waiting' AND NEW.state = 'sending') OR (OLD.state = 'waiting' AND NEW.state = 'in_doubt') OR (OLD.state = 'waiting' AND NEW.state = 'rejected') OR (OLD.state = 'waiting' AND NEW.state = 'discarded') OR (OLD.state = 'sending' AND NEW.state = 'delivered') OR (OLD.state = 'sending' AND NEW.state = 'rejected') OR (OLD.state = 'sending' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'in_doubt') OR (OLD.state = 'in_doubt' AND NEW.state = 'delivered') OR (OLD.state = 'in_doubt' AND NEW.state = 'rejected') OR (OLD.state = 'in_doubt' AND NEW.state = 'pending') OR (OLD.state = 'in_doubt' AND NEW.state = 'discarded') OR (OLD.state = 'invalid' AND NEW.state = 'pending') OR (OLD.state = 'invalid' AND NEW.state = 'discarded') OR (OLD.state = 'rejected' AND NEW.state = 'pending') OR (OLD.state = 'rejected' AND NEW.state = 'invalid') OR (OLD.state = 'rejected' AND NEW.state = 'discarded') OR (OLD.state = 'delivered' AND NEW.state = 'undone') OR (OLD.state = 'undone' AND NEW.state = 'pending') OR (OLD.state = 'sending' AND NEW.state = 'submitted') OR (OLD.state = 'submitted' AND NEW.state = 'delivered') OR (OLD.state = 'submitted' AND NEW.state = 'rejected') OR (OLD.state = 'submitted' AND NEW.state = 'in_doubt') OR (OLD.state = 'submitted' AND NEW.state = 'discarded') OR (OLD.state = 'in_doubt' AND NEW.state = 'submitted') OR (OLD.state = 'pending' AND NEW.state = 'submitted') OR (OLD.state = 'pending' AND NEW.state = 'removed') OR (OLD.state = 'waiting' AND NEW.state = 'removed') OR (OLD.state = 'invalid' AND NEW.state = 'removed') OR (OLD.state = 'rejected' AND NEW.state = 'removed') OR (OLD.state = 'delivered' AND NEW.state = 'removed') OR (OLD.state = 'pending' AND NEW.state = 'invalid') OR (OLD.state = 'waiting' AND NEW.state = 'pending') OR (OLD.state = 'waiting' AND NEW.state = 'invalid') OR (OLD.state = 'delivered' AND NEW.state = 'pending') OR (OLD.state = 'delivered' AND NEW.state = 'invalid') OR (OLD.state = 'removed' AND NEW.state = 'pending') OR (OLD.state = 'removed' AND NEW.state = 'invalid')) BEGIN SELECT RAISE(ABORT, 'the ledger does not allow this move'); END;

CREATE TRIGGER deliveries_replaced BEFORE UPDATE OF state ON deliveries WHEN OLD.state = 'delivered' AND (NEW.state = 'pending' OR NEW.state = 'invalid') AND (OLD.interaction_id IS NULL OR NEW.interaction_id IS NOT NULL OR NEW.attempt = OLD.attempt) BEGIN SELECT RAISE(ABORT, 'the ledger does not allow this move'); END;

CREATE TRIGGER deliveries_counted_in_by_insert AFTER INSERT ON deliveries WHEN (NEW.state = 'delivered' OR NEW.state = 'discarded' OR NEW.state = 'undone' OR NEW.state = 'removed') AND 1 BEGIN INSERT INTO delivery_counts (activation, state, day, number) VALUES (NEW.activation, NEW.state, NEW.changed_at / 86400000, +1) ON CONFLICT DO UPDATE SET number = number + 1; END;

CREATE TRIGGER deliveries_counted_in_by_update AFTER UPDATE OF state, changed_at, activation ON deliveries WHEN (NEW.state = 'delivered' OR NEW.state = 'discarded' OR NEW.state = 'undone' OR NEW.state = 'removed') AND (OLD.state <> NEW.state OR OLD.changed_at <> NEW.changed_at OR OLD.activation <> NEW.activation) BEGIN INSERT INTO delivery_counts (activation, state, day, number) VALUES (NEW.activation, NEW.state, NEW.changed_at / 86400000, +1) ON CONFLICT DO UPDATE SET number = number + 1; END;

CREATE TRIGGER deliveries_counted_out_by_delete AFTER DELETE ON deliveries WHEN (OLD.state = 'delivered' OR OLD.state = 'discarded' OR OLD.state = 'undone' OR OLD.state = 'removed') AND 1 BEGIN INSERT INTO delivery_counts (activation, state, day, number) VALUES (OLD.activation, OLD.state, OLD.changed_at / 86400000, -1) ON CONFLICT DO UPDATE SET number = number - 1; END;

CREATE TRIGGER deliveries_counted_out_by_update AFTER UPDATE OF state, changed_at, activation ON deliveries WHEN (OLD.state = 'delivered' OR OLD.state = 'discarded' OR OLD.state = 'undone' OR OLD.state = 'removed') AND (OLD.state <> NEW.state OR OLD.changed_at <> NEW.changed_at OR OLD.activation <> NEW.activation) BEGIN INSERT INTO delivery_counts (activation, state, day, number) VALUES (OLD.activation, OLD.state, OLD.changed_at / 86400000, -1) ON CONFLICT DO UPDATE SET number = number - 1; END;

CREATE TABLE approvals (
	id INTEGER NOT NULL,
	activation VARCHAR NOT NULL,
	run_id VARCHAR,
	at BIGINT NOT NULL,
	"by" TEXT NOT NULL,
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
	id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	"by" TEXT NOT NULL,
	what VARCHAR NOT NULL,
	activation VARCHAR,
	run_id VARCHAR,
	details TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX audit_by_activation ON audit (activation, id);

CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit list is only added to'); END;

CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit list is only added to'); END;

CREATE TABLE turns (
	delivery_id INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	activation VARCHAR NOT NULL,
	contact VARCHAR NOT NULL,
	at BIGINT NOT NULL,
	void BOOLEAN NOT NULL,
	cap VARCHAR,
	PRIMARY KEY (delivery_id, attempt)
)
 WITHOUT ROWID;

CREATE INDEX turns_by_contact ON turns (activation, contact, at);

CREATE INDEX turns_waiting ON turns (activation, at) WHERE cap IS NOT NULL;

CREATE INDEX runs_by_tag ON runs (tag) WHERE tag IS NOT NULL;

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

CREATE TABLE pruned (
	number INTEGER NOT NULL,
	activation VARCHAR NOT NULL,
	rows BIGINT DEFAULT '0' NOT NULL,
	runs BIGINT DEFAULT '0' NOT NULL,
	"before" BIGINT,
	day INTEGER DEFAULT '0' NOT NULL,
	PRIMARY KEY (number),
	UNIQUE (activation)
);

CREATE TABLE pruned_keys (
	activation INTEGER NOT NULL,
	high BIGINT NOT NULL,
	low BIGINT NOT NULL,
	PRIMARY KEY (activation, high, low)
)
 WITHOUT ROWID;

CREATE TABLE pruned_interactions (
	high BIGINT NOT NULL,
	low BIGINT NOT NULL,
	activation INTEGER NOT NULL,
	PRIMARY KEY (high, low, activation)
)
 WITHOUT ROWID;

CREATE INDEX removed_interactions_of ON removed_interactions (delivery_id);

CREATE INDEX runs_in_order ON runs (started_at, run_id);

CREATE INDEX runs_not_well ON runs (started_at, run_id, status) WHERE status <> 'succeeded';

INSERT INTO alembic_version (version_num) VALUES ('0028')
