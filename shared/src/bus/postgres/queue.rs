//! One queue: its tables' names in SQL, written once, and where to begin reading.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{floor::Floor, name::DEAD_LETTERS};
use crate::bus::REASON_ATTRIBUTE;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) sql: Statements,
    floor: Mutex<Floor>,
}

/// The statements on a queue. Its name was checked to need no care in SQL.
///
/// A receipt is (msg_id, read_ct): whoever receives a message again counts read_ct up, and the receipts before it match
/// no row any more.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) receive: Arc<str>,
    pub(super) look: Arc<str>,
    pub(super) done: Arc<str>,
    pub(super) hide: Arc<str>,
    pub(super) reject: Arc<str>,
    pub(super) depth: Arc<str>,
    pub(super) dead_letters: Arc<str>,
    pub(super) redrive: Arc<str>,
}

impl Queue {
    pub(super) fn new(name: String) -> Self {
        let sql = Statements::on(&name);
        Self { name, sql, floor: Mutex::default() }
    }

    pub(super) fn floor(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The columns that make a `Received`.
const RECEIVED: &str = "m.msg_id, m.read_ct, m.enqueued_at, m.headers,
    case jsonb_typeof(m.message) when 'string' then m.message #>> '{}' else m.message::text end as body";

impl Statements {
    fn on(name: &str) -> Self {
        let queue = format!("pgmq.\"q_{name}\"");
        let dead_letters = format!("pgmq.\"q_{name}{DEAD_LETTERS}\"");
        Self {
            // $1: lowest msg_id, $2: how many, $3: visibility. The rows are found by an array of their ids, not by a join:
            // for a table whose statistics say it is empty, a join may walk the whole queue for each message.
            receive: format!(
                "with picked as materialized (
                    select msg_id from {queue}
                    where msg_id >= $1 and vt <= now()
                    order by msg_id limit $2
                    for update skip locked
                ), allowed as materialized (
                    select coalesce((select max_receive_count from bus.queues where name = '{name}'), 2147483647) as receipts
                ), dead as (
                    delete from {queue} as m
                    where m.msg_id = any(array(select msg_id from picked)) and m.read_ct >= (select receipts from allowed)
                    returning m.enqueued_at, m.read_ct, m.message, m.headers
                ), parked as (
                    insert into {dead_letters} (enqueued_at, vt, message, headers)
                    select enqueued_at, now(), message, coalesce(headers, '{{}}') || jsonb_build_object(
                        '{REASON_ATTRIBUTE}', format('received %s times without being settled', read_ct))
                    from dead
                )
                update {queue} as m set read_ct = m.read_ct + 1, last_read_at = now(), vt = now() + $3
                where m.msg_id = any(array(select msg_id from picked)) and m.read_ct < (select receipts from allowed)
                returning {RECEIVED}"
            )
            .into(),
            // $1: the floor.
            look: format!(
                "select (select min(msg_id) from {queue} where msg_id >= $1),
                    pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
                    pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            )
            .into(),
            // $1, $2: receipts.
            done: format!(
                "delete from {queue} as m using unnest($1::bigint[], $2::integer[]) as r (msg_id, read_ct)
                where m.msg_id = r.msg_id and m.read_ct = r.read_ct"
            )
            .into(),
            // $1, $2: receipts, $3: for how long each.
            hide: format!(
                "update {queue} as m set vt = now() + r.hidden
                from unnest($1::bigint[], $2::integer[], $3::interval[]) as r (msg_id, read_ct, hidden)
                where m.msg_id = r.msg_id and m.read_ct = r.read_ct"
            )
            .into(),
            // $1, $2: receipts, $3: each one's reason.
            reject: format!(
                "with gone as (
                    delete from {queue} as m
                    using unnest($1::bigint[], $2::integer[], $3::text[]) as r (msg_id, read_ct, reason)
                    where m.msg_id = r.msg_id and m.read_ct = r.read_ct
                    returning m.enqueued_at, m.message, m.headers, r.reason
                )
                insert into {dead_letters} (enqueued_at, vt, message, headers)
                select enqueued_at, now(), message,
                    coalesce(headers, '{{}}') || jsonb_build_object('{REASON_ATTRIBUTE}', reason)
                from gone"
            )
            .into(),
            depth: format!(
                "select count(*) filter (where vt <= now()),
                    count(*) filter (where vt > now() and read_ct > 0),
                    count(*) filter (where vt > now() and read_ct = 0)
                from {queue}"
            )
            .into(),
            // $1: how many.
            dead_letters: format!("select {RECEIVED} from {dead_letters} as m order by m.msg_id limit $1").into(),
            // $1: how many.
            redrive: format!(
                "with picked as materialized (
                    select msg_id from {dead_letters} order by msg_id limit $1 for update skip locked
                ), gone as (
                    delete from {dead_letters} as m where m.msg_id = any(array(select msg_id from picked))
                    returning m.message, m.headers
                )
                insert into {queue} (vt, message, headers)
                select now(), message, headers - '{REASON_ATTRIBUTE}' from gone"
            )
            .into(),
        }
    }
}
