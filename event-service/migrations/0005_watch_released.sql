-- What the watchdog of released occurrences goes by, and since when a row waits in the outbox.
-- replaces 146a5aa6e8297b9c4aceef07e48ffa8a1c658196, which read all occurrences in this transaction; 0015 does it alone.

-- Occurrences as they were released: one row for each batch that a scheduler marked, for the hour in which their outcomes
-- are expected. An index of `occurrences` by its state would make every outcome an update of all of that table's indexes;
-- this costs one insert for up to 500 occurrences.
create table releases (
    id          bigint generated always as identity primary key,
    released_at timestamptz not null default now(),
    occurrences uuid[] not null
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000);
-- Random ids do not compress.
alter table releases alter column occurrences set storage external;

-- Occurrences without an end when that hour was over: few, and each until it has ended.
create table unsettled (
    occurrence_id uuid primary key,
    -- When the ledger is asked about it again.
    look_at       timestamptz not null,
    asked         int not null default 0
);
create index unsettled_look_at on unsettled (look_at);

-- A lease is renewed while the bus is away, and most ids carry no time: only this tells how long a row waits.
alter table outbox add column created_at timestamptz not null default now();
create index outbox_parked on outbox (event_id) where parked_reason is not null;
alter table commands add column created_at timestamptz not null default now();
create index commands_parked on commands (event_id) where parked_reason is not null;
