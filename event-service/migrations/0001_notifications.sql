-- The notifications database: owned by event-service; notification-scheduler reads it, and marks occurrences.

create type notification_state as enum ('active', 'deleted');
create type occurrence_state as enum ('pending', 'released', 'sent', 'failed', 'suppressed', 'cancelled');

-- The catalogue: every event once. Partitioned by week of occurred_at, so that old ones are dropped as whole tables;
-- what lies outside the weeks made ahead (a wrong clock, an old import) is taken by the default partition.
create table events (
    occurred_at  timestamptz not null,
    event_id     uuid not null,
    event_type   text not null,
    item_id      text not null,
    user_id      text not null,
    version      bigint not null,
    data         jsonb not null,
    received_at  timestamptz not null default now(),
    -- The transaction that wrote the row. Everything below pg_snapshot_xmin() is committed or gone, so a reader that
    -- goes on by it misses no late commit, as one that goes on by time or by a sequence does.
    received_xid bigint not null default (pg_current_xact_id()::text::bigint),
    -- What makes a repeat a repeat.
    primary key (occurred_at, event_id)
) partition by range (occurred_at);
create index events_user on events (user_id, occurred_at);
create index events_item on events (item_id, occurred_at);
create index events_type on events (event_type, occurred_at);
create index events_received on events (received_xid);
create table events_default partition of events default;

-- Makes the partition of the week (from Monday, UTC) that holds `at`, and moves into it what the default partition had
-- taken meanwhile. Tells whether it made one.
create function create_events_partition(at timestamptz) returns boolean language plpgsql as $$
declare
    monday constant timestamp := date_trunc('week', at at time zone 'UTC');
    starts constant timestamptz := monday at time zone 'UTC';
    ends constant timestamptz := (monday + interval '7 days') at time zone 'UTC';
    name constant text := 'events_' || to_char(monday, 'YYYYMMDD');
begin
    perform pg_advisory_xact_lock(hashtext('create_events_partition'));
    if to_regclass(name) is not null then
        return false;
    end if;
    execute format('create table %I (like events including all)', name);
    lock table events_default in access exclusive mode;
    execute format('with moved as (delete from events_default where occurred_at >= %L and occurred_at < %L returning *)
                    insert into %I select * from moved', starts, ends, name);
    execute format('alter table events attach partition %I for values from (%L) to (%L)', name, starts, ends);
    return true;
end
$$;

-- What is to be sent, in its newest known version. A deleted one stays as a tombstone with its version, so that an older
-- event that comes late changes nothing; its content is gone.
create table notifications (
    -- Follows from (source, item_id) and so makes them unique without a second index: event-service's identity.rs.
    id             uuid primary key,
    source         text not null check (source in ('reminder', 'notification')),
    item_id        text not null,
    user_id        text not null,
    user_email     text,
    version        bigint not null,
    state          notification_state not null,
    -- When it is due (DTSTART of a recurring one), and minutes before it at which to notify.
    date           timestamptz,
    notify_offsets int[],
    recurrence     jsonb,
    -- contract::NotifyContent: what travels unchanged to the device (channels, texts, priority, zone, expiry).
    content        jsonb,
    traceparent    text,
    -- When the newest version was made, and when it was applied here.
    occurred_at    timestamptz not null,
    updated_at     timestamptz not null default now(),
    check (state = 'deleted' or (date is not null and notify_offsets is not null and content is not null))
) with (fillfactor = 90);

-- Each time of delivery of a notification, from pending to its one end.
create table occurrences (
    -- contract::occurrence_id: follows from (source, item_id, due_at).
    id              uuid primary key,
    -- No foreign key: both are written in one transaction by one owner, and the check would lock a row for each.
    notification_id uuid not null,
    due_at          timestamptz not null,
    -- Unknown when an outcome came before what it is the outcome of.
    date            timestamptz,
    expires_at      timestamptz,
    state           occurrence_state not null default 'pending',
    -- Stands in for `state` in the index, so that a change from one other state to another moves no index entry (HOT).
    pending         boolean not null generated always as (state = 'pending') stored,
    -- Leased to a scheduler until then; the fence tells one lease from the next.
    lease_until     timestamptz not null default '-infinity',
    fence           int not null default 0,
    released_at     timestamptz,
    -- Deliveries by outcome, of how many.
    sent            int not null default 0,
    failed          int not null default 0,
    suppressed      int not null default 0,
    deliveries      int not null default 0,
    -- The latest outcome: when, and why.
    outcome_at      timestamptz,
    reason          text,
    check (state <> 'pending' or (date is not null and expires_at is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.02);
create index occurrences_notification on occurrences (notification_id);
-- What the scheduler claims by. A claim changes neither column: it is a HOT update.
create index occurrences_due on occurrences (due_at) where pending;
-- Pending rows are few among many, and `GET /stats` estimates from what ANALYZE knows of the states.
alter table occurrences alter column state set statistics 200;

-- How an occurrence with these outcomes stands: it ends when all its deliveries have.
create function occurrence_state_of(sent int, failed int, suppressed int, deliveries int) returns occurrence_state
language sql immutable as $$
    select case
        when sent + failed + suppressed = 0 or sent + failed + suppressed < deliveries then 'released'
        when sent > 0 then 'sent'
        when failed > 0 then 'failed'
        else 'suppressed'
    end::occurrence_state
$$;

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
