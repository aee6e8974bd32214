-- The reminders database: what users asked to be reminded of, the messages that tell of each change, and the first
-- answers to idempotency keys. It is owned by reminder-service alone.

-- A row is what the user asked for and nothing else: when each delivery is due, and whether it was made, is kept by
-- event-service. A deleted reminder is deleted; the message that tells of it carries its last version.
create table reminders (
    -- UUID v7, so that the order of ids is the order of creation.
    id                    uuid primary key,
    user_id               text not null,
    -- As given: the time it is due, not the time of delivery.
    date                  timestamptz not null,
    time_zone             text not null,
    -- Minutes before `date`, ascending, none twice.
    notify_offsets        integer[] not null check (cardinality(notify_offsets) between 1 and 5),
    -- {"rrule","exdates","gap","fold"}; null until recurring reminders are supported.
    recurrence            jsonb,
    -- In alphabetical order, none twice.
    channels              text[] not null check (cardinality(channels) > 0),
    title                 text,
    message               text not null,
    url                   text,
    data                  jsonb not null default '{}',
    expires_after_minutes integer not null,
    priority              text not null,
    locale                text,
    -- The last time of delivery ('infinity' for a rule without an end): while it is ahead, the reminder is scheduled.
    last_at               timestamptz not null,
    version               bigint not null default 1,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now()
);
-- A user's list, newest first. The included columns let its filters and its total be answered from the index alone.
create index reminders_of_user on reminders (user_id, id desc) include (last_at, date);

-- A time as the messages write it.
create function wire_time(at timestamptz) returns text language sql stable
    return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

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
