-- What the postgres bus adds to pgmq: which topics there are, which queues, which subscriptions between them.
-- Run once per version under an advisory lock; see src/bus/postgres/install.rs.

create schema if not exists bus;

create table if not exists bus.installed (
    only_row boolean primary key default true check (only_row),
    version integer not null
);

create table if not exists bus.topics (
    name text primary key
);

create table if not exists bus.queues (
    name text primary key,
    max_receive_count integer not null check (max_receive_count > 0)
);

-- Until when readers may be asleep that a publish has to wake.
alter table bus.queues add column if not exists asleep_until timestamptz not null default '-infinity';

-- filter: {"attribute": ["accepted", "values"], …}; every attribute named must have one of its values.
create table if not exists bus.subscriptions (
    topic text not null references bus.topics (name),
    queue text not null references bus.queues (name),
    filter jsonb not null default '{}',
    primary key (topic, queue)
);

create or replace function bus.accepts(filter jsonb, attributes jsonb) returns boolean
language sql immutable parallel safe
as $$
    select not exists (
        select from jsonb_each(filter) as wanted
        where not wanted.value @> jsonb_build_array(attributes -> wanted.key)
    )
$$;

-- Wakes the readers of a queue if they may be asleep. Without that it takes no lock.
create or replace function bus.wake(queue text) returns void
language plpgsql
as $$
begin
    update bus.queues as q set asleep_until = '-infinity' where q.name = wake.queue and q.asleep_until > now();
    if found then
        perform pg_notify('bus', wake.queue);
    end if;
end
$$;

-- Sends messages to one queue, visible from a time on.
create or replace function bus.send(queue text, bodies jsonb[], attributes jsonb[], visible_at timestamptz) returns void
language plpgsql
as $$
begin
    perform pgmq.send_batch(send.queue, bodies, attributes, visible_at);
    perform bus.wake(send.queue);
end
$$;

-- Puts each message into every queue whose subscription accepts it. The subscriptions are read in the publishing
-- statement itself: one that is committed is heeded by the next publish, and there is no cache to be stale.
create or replace function bus.publish(topic text, bodies jsonb[], attributes jsonb[]) returns void
language plpgsql
as $$
declare
    subscribed record;
    accepted_bodies jsonb[];
    accepted_attributes jsonb[];
begin
    for subscribed in
        select s.queue, s.filter from bus.subscriptions s where s.topic = publish.topic order by s.queue
    loop
        if subscribed.filter = '{}' then
            perform pgmq.send_batch(subscribed.queue, bodies, attributes);
            perform bus.wake(subscribed.queue);
        else
            select array_agg(m.body), array_agg(m.attributes) into accepted_bodies, accepted_attributes
            from unnest(bodies, attributes) as m (body, attributes)
            where bus.accepts(subscribed.filter, m.attributes);
            if accepted_bodies is not null then
                perform pgmq.send_batch(subscribed.queue, accepted_bodies, accepted_attributes);
                perform bus.wake(subscribed.queue);
            end if;
        end if;
    end loop;
    if found then
        return;
    end if;
    if exists (select from bus.topics t where t.name = publish.topic) then
        raise exception 'no queue is subscribed to topic % yet', topic using errcode = 'BUS02';
    end if;
    raise exception 'there is no topic %', topic using errcode = 'BUS01';
end
$$;

-- One pgmq queue with the storage settings of a queue table:
-- * no index on vt: a receive updates vt, and with vt in no index that update stays in its page (HOT); reads go by msg_id;
-- * room in each page for as many versions as it holds rows: each row is written anew once, by its receive;
-- * vacuum early and without pauses: nearly every row dies within a second;
-- * analyze seldom: the bus fixes its plans itself (see src/bus/postgres/pool.rs).
create or replace function bus.create_queue(queue text) returns void
language plpgsql
as $$
begin
    if exists (select from pgmq.meta m where m.queue_name = queue) then
        return;
    end if;
    perform pgmq.create(queue);
    execute format('drop index pgmq.%I', 'q_' || queue || '_vt_idx');
    execute format(
        'alter table pgmq.%I set (
            fillfactor = 50,
            autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_threshold = 5000,
            autovacuum_vacuum_insert_scale_factor = 0.5,
            autovacuum_vacuum_insert_threshold = 100000,
            autovacuum_vacuum_cost_delay = 0,
            autovacuum_analyze_scale_factor = 1,
            autovacuum_analyze_threshold = 100000,
            toast.autovacuum_vacuum_scale_factor = 0.02,
            toast.autovacuum_vacuum_threshold = 5000,
            toast.autovacuum_vacuum_cost_delay = 0
        )', 'q_' || queue);
end
$$;
