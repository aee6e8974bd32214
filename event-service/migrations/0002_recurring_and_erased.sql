-- Recurring notifications, commands on the notification topic, erasure and retention.

-- Occurrences up to this one are acknowledged: the series goes on after it.
alter table notifications add column acknowledged timestamptz;
-- The edition of the time zone database by which the waiting occurrence of a recurring notification was computed.
alter table notifications add column time_zone_database text;

-- What a user has is exported and erased by this.
create index notifications_user on notifications (user_id);
-- What is old is found by these at next to no cost: both grow with time as the tables do.
create index notifications_old on notifications using brin (updated_at);
create index occurrences_old on occurrences using brin (due_at);

-- Commands for the notification topic: what becomes of occurrences that were released already (notification:update and
-- notification:delete), and whom to erase (user:erased). event-service writes them in the transaction of their cause;
-- notification-scheduler publishes and deletes them. A row that can never be published is parked with its reason.
create table commands (
    event_id      uuid primary key,
    body          text not null,
    attributes    jsonb not null,
    lease_until   timestamptz not null default '-infinity',
    parked_reason text
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

-- Who was erased: what happened to them up to then is not kept when it comes late. The user is known by a digest alone.
create table erased_users (
    user_digest bytea primary key,
    erased_at   timestamptz not null,
    receipt_id  text not null
);

-- A time as the messages and the APIs write it.
create function wire_time(at timestamptz) returns text language sql stable
    return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- Drops the partitions of whole weeks that ended before `before`; how many.
create function drop_events_partitions(before timestamptz) returns int language plpgsql as $$
declare
    name text;
    dropped int := 0;
begin
    for name in
        select child.relname from pg_inherits
        join pg_class as child on child.oid = inhrelid
        where inhparent = 'events'::regclass and child.relname ~ '^events_\d{8}$'
          and (to_date(substr(child.relname, 8), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC' <= before
    loop
        execute format('drop table %I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;
