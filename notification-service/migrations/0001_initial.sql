-- Devices, the deliveries made to them and to mailboxes, and the outbox of what becomes of both.

-- An address that a user can be reached at by push. The token itself is never answered, logged or published; its digest
-- is what makes it unique. A dead one stays as a tombstone, so that its next registration is recognised.
create table devices (
    id             uuid primary key,
    user_id        text not null,
    address_kind   text not null default 'fcm_token' check (address_kind in ('fcm_token')),
    token          text not null,
    token_hash     bytea not null unique,
    type           text not null check (type in ('web', 'android', 'ios')),
    name           text,
    created_at     timestamptz not null default now(),
    last_seen_at   timestamptz not null default now(),
    -- Grows with every registration: a verdict on a send counts only if the device is still as it was then.
    version        bigint not null default 1,
    invalidated_at timestamptz,
    invalid_reason text
);
create index devices_live_by_user on devices (user_id, id) where invalidated_at is null;

-- Mail addresses that must not be written to again (permanent bounce, complaint), by digest.
create table suppressed_addresses (
    address_hash bytea primary key,
    reason       text not null check (reason in ('bounce', 'complaint')),
    created_at   timestamptz not null default now()
);

-- An occurrence that was asked to be sent: written once, whatever number of times the queue delivers it.
create table dispatches (
    occurrence_id uuid primary key,
    source        text not null,
    item_id       text not null,
    user_id       text not null,
    user_email    text,
    address_hash  bytea,
    version       bigint not null,
    due_at        timestamptz not null,
    expires_at    timestamptz not null,
    payload       jsonb not null,
    -- How many deliveries it has, so that each outcome can say when the occurrence is at its end.
    deliveries    integer not null,
    traceparent   text,
    received_at   timestamptz not null default now()
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- The ledger: one row for each device (push) or mailbox (e-mail; the device is the nil UUID). It decides whether
-- anything is sent. A row belongs to whoever raised its fence last, until next_attempt_at.
create table deliveries (
    occurrence_id       uuid not null,
    channel             text not null check (channel in ('push', 'email')),
    device_id           uuid not null,
    -- Sortable by creation, for the user's history.
    id                  uuid not null,
    user_id             text not null,
    state               text not null check (state in ('pending', 'sent', 'failed', 'suppressed', 'deferred')),
    reason              text,
    attempts            integer not null default 0,
    -- While pending: when it may be claimed (now, a retry's time, or the end of somebody's lease).
    next_attempt_at     timestamptz,
    fence               integer not null default 0,
    first_attempt_at    timestamptz,
    finished_at         timestamptz,
    provider_message_id text,
    primary key (occurrence_id, channel, device_id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);
-- What a claim costs depends on what is waiting, not on what is kept.
create index deliveries_waiting on deliveries (channel, next_attempt_at) where state = 'pending';
create index deliveries_by_user on deliveries (user_id, id desc);

-- Messages that belong to a committed change and are not yet acknowledged by the topic. A row is leased to the
-- process that wrote it, which publishes it at once; when that process dies, the lease runs out and any other
-- takes the row. A row that can never be published is parked with its reason instead of being dropped.
create table outbox (
    event_id      uuid primary key,
    body          text not null,
    attributes    jsonb not null,
    lease_until   timestamptz not null,
    parked_reason text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The first answer to each Idempotency-Key, kept for 24 hours and written in the transaction of its effect.
create table idempotency_keys (
    user_id      text not null,
    key          text not null,
    request_hash bytea not null,
    status       smallint,
    response     jsonb,
    created_at   timestamptz not null default now(),
    primary key (user_id, key)
);
create index idempotency_keys_created_at on idempotency_keys (created_at);
