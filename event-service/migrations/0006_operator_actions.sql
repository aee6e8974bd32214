-- What operators did, and what was done to a user's data by an erasure or an export: who, what, when, on whom, by which
-- request, with which result. Rows are written before an action, so that none is without its row, and completed after it;
-- an erasure's row is written by the transaction that notes the erasure.
create table operator_actions (
    -- UUID v7, so that the order of ids is the order of time.
    id         uuid primary key,
    at         timestamptz not null default now(),
    -- 'operator-' and eight characters of the digest of the token, 'local' where none is asked for, 'user' for an erasure.
    actor      text not null,
    action     text not null check (action in ('REDRIVE', 'EXPORT', 'ERASE')),
    -- SHA-256 of the id of the user concerned; null when the action concerns no single user. Ids are not kept: an erased
    -- user must be found nowhere.
    subject    bytea,
    -- The request's id, or the receipt of an erasure.
    request_id text not null,
    -- Null while it is under way, or when the process ended before it was over.
    result     text
);

-- An erasure is an action whoever notes it and however often its event comes.
create function record_erasure() returns trigger language plpgsql as $$
begin
    insert into operator_actions (id, at, actor, action, subject, request_id, result)
    values (md5(new.user_digest::text || new.receipt_id)::uuid, now(), 'user', 'ERASE', new.user_digest, new.receipt_id, 'DONE')
    on conflict (id) do nothing;
    return null;
end
$$;
create trigger record_erasure after insert or update of erased_at on erased_users
    for each row execute function record_erasure();

create index operator_actions_at on operator_actions (at desc, id desc);
