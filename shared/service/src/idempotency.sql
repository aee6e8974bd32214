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
