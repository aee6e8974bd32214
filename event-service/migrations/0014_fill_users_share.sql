-- no-transaction
-- The key (0004) of what was pending before, a thousand rows a transaction: nobody waits for more than one of them. What
-- is claimed at the moment is passed over; until a row has its key it shares the bucket of those that an earlier version
-- writes. An orphan gets a key of its own kind, so that each row is looked at once.
do $$
declare
    since timestamptz := '-infinity';
    filled int;
begin
    loop
        with chunk as materialized (
            select id, notification_id from occurrences
            where pending and user_key = 0 and due_at >= since
            order by due_at limit 1000
            for update skip locked
        ), keyed as (
            update occurrences as o
            set user_key = coalesce(nullif(occurrence_user_key(n.user_id, n.content->>'priority'), 0), 1)
            from chunk left join notifications as n on n.id = chunk.notification_id
            where o.id = chunk.id
            returning o.due_at
        )
        select count(*), coalesce(max(due_at), since) into filled, since from keyed;
        commit;
        exit when filled = 0;
    end loop;
end $$;
