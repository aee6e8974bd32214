-- Second thoughts about what was released: what came before its occurrence did, who was erased, and what is forgotten in time.

-- A change or a cancellation of an occurrence that the ledger does not know yet: queues do not keep an order. Its newest
-- version, applied when an older one comes to be sent; forgotten after 14 days.
create table revisions (
    occurrence_id uuid primary key,
    user_id       text not null,
    version       bigint not null,
    -- None: it is not to be delivered.
    content       jsonb,
    -- When it was decided.
    at            timestamptz not null
);
create index revisions_at on revisions (at);
create index revisions_by_user on revisions (user_id);

-- Users who were erased, by digest: nothing from before is taken in any more. It is all that is kept of them.
create table erasures (
    user_digest  bytea primary key,
    erased_at    timestamptz not null,
    receipt_id   text not null,
    -- None: there may be rows left to erase.
    completed_at timestamptz
);

-- The oldest are forgotten first, a part at a time. Rows come in the order of this key: an insert touches the last page only.
create index dispatches_received_at on dispatches (received_at);
