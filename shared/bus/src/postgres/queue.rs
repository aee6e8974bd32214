//! A queue: its SQL statements and its low-water mark.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contract::Reason;
use db::wake::Idle;

use super::{low_water_mark::LowWaterMark, name::DEAD_LETTERS};
use crate::{
    DETAIL_ATTRIBUTE, MAX_MESSAGE_BYTES, MAX_RECEIVE_BYTES, REASON_ATTRIBUTE,
    attributes::HEADERS_ATTRIBUTE,
};

/// Most bytes of body and headers, as text, of a row that is returned. A published message has at
/// most [`MAX_MESSAGE_BYTES`], and `jsonb` adds a space after each comma and colon. A larger row
/// was written by another program.
const MAX_ROW_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// Most bytes of a small document, as stored uncompressed. Small documents are not converted to
/// text to compute their size.
const SMALL_BYTES: usize = 2_000;
/// Most bytes of the text of a small document. Escaped characters make it up to six times as long;
/// only numbers with large exponents make it longer, without bound.
pub(super) const MAX_SMALL_TEXT_BYTES: usize = 8 * SMALL_BYTES;

/// Time between the announcement that readers sleep and their sleep: longer than a publish takes.
const CAUTION: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) sql: Statements,
    pub(super) idle: Idle,
    low_water_mark: Mutex<LowWaterMark>,
    /// Number of rows that contain about two times [`MAX_RECEIVE_BYTES`], by the size of those last
    /// received.
    row_limit: AtomicUsize,
}

/// SQL statements of a queue. Its name was checked and needs no quoting.
///
/// A receipt is (msg_id, read_ct): each receive increments read_ct, so that earlier receipts no
/// longer match a row.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) receive: Arc<str>,
    pub(super) receive_by_id: Arc<str>,
    pub(super) visible: Arc<str>,
    pub(super) quarantine: Arc<str>,
    pub(super) postpone: Arc<str>,
    pub(super) observe: Arc<str>,
    pub(super) next_visible: Arc<str>,
    pub(super) done: Arc<str>,
    pub(super) hide: Arc<str>,
    pub(super) reject: Arc<str>,
    pub(super) depth: Arc<str>,
    pub(super) dead_letters: Arc<str>,
    pub(super) dead_letter_ids: Arc<str>,
    pub(super) one_dead_letter: Arc<str>,
    pub(super) purge_dead_letters: Arc<str>,
    pub(super) erase_dead_letters: Arc<str>,
    pub(super) redrive: Arc<str>,
}

impl Queue {
    pub(super) fn new(name: String) -> Self {
        let sql = Statements::on(&name);
        Self {
            name,
            sql,
            idle: Idle::new(CAUTION),
            low_water_mark: Mutex::default(),
            row_limit: AtomicUsize::new(usize::MAX),
        }
    }

    /// Most rows that the next receive reads. It returns as many of them as [`MAX_RECEIVE_BYTES`]
    /// allows.
    pub(super) fn row_limit(&self, max: usize) -> usize {
        self.row_limit.load(Ordering::Relaxed).min(max).max(1)
    }

    /// Records the size of the rows that were received.
    pub(super) fn record_size(&self, rows: usize, bytes: usize) {
        if let Some(average) = bytes.checked_div(rows) {
            self.row_limit.store(2 * MAX_RECEIVE_BYTES / average.max(1), Ordering::Relaxed);
        }
    }

    pub(super) fn low_water_mark(&self) -> MutexGuard<'_, LowWaterMark> {
        self.low_water_mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Expression for the time at which a message was enqueued, clamped to the years that chrono can
/// represent.
const ENQUEUED_AT: &str =
    "least(greatest(enqueued_at, '0001-01-01 00:00:00+00'), '9999-12-31 00:00:00+00')";

/// Expression for a message as text.
const BODY: &str =
    "case jsonb_typeof(message) when 'string' then message #>> '{}' else message::text end";

/// Condition that selects messages by their ids.
const BY_ID: &str = "msg_id = any($1::bigint[])";

/// Condition under which a document takes few bytes.
fn is_small(document: &str) -> String {
    format!(
        "pg_column_size({document}) <= {SMALL_BYTES} and pg_column_compression({document}) is null"
    )
}

/// Expression for the bytes of a document as text; an estimate for a small one.
fn bytes_of(document: &str) -> String {
    format!(
        "coalesce(
            case when {} then pg_column_size({document}) else octet_length({document}::text) end, 0
        )",
        is_small(document)
    )
}

/// Expression for a document as it is returned, converted to text by `text`: null if it is small
/// and its text is not.
fn returned_text(document: &str, text: &str, default: &str) -> String {
    format!(
        "(select
            case when octet_length(text) > {MAX_SMALL_TEXT_BYTES} and {} then null
                else coalesce(text, '{default}') end
            from (select {text} as text offset 0) as written)",
        is_small(document)
    )
}

/// Expression for the headers of a row that is dead-lettered for `reason` with a `detail`,
/// expressions as well. Headers that are no object become an attribute of one.
fn dead_letter_headers(reason: &str, detail: &str) -> String {
    format!(
        "case
            when headers is null then '{{}}'
            when jsonb_typeof(headers) = 'object' then headers
            else jsonb_build_object('{HEADERS_ATTRIBUTE}', headers)
        end || jsonb_build_object('{REASON_ATTRIBUTE}', {reason}, '{DETAIL_ATTRIBUTE}', {detail})"
    )
}

/// Statement that receives messages. $2: most rows to read, $3: visibility, $4: most bytes of all
/// returned messages. The first message is returned whatever its size. Documents are converted to
/// text once, when they are returned, and not for rows that other consumers hold. Null headers or a
/// null body mean that the text is too large after all. Rows are selected by an array of their ids,
/// not by a join: if the statistics say that the table is empty, a join may read the whole queue
/// for each message.
fn receive(name: &str, queue: &str, dead_letters: &str, which: &str) -> String {
    let headers = dead_letter_headers(
        &format!("case when spent then '{}' else '{}' end", Reason::NotSettled, Reason::TooLarge),
        &format!(
            "case when spent then format('received %s times without being settled', read_ct)
                else 'larger than {MAX_ROW_BYTES} bytes' end"
        ),
    );
    let (bytes_of_headers, bytes_of_message) = (bytes_of("headers"), bytes_of("message"));
    let (headers_out, body_out) =
        (returned_text("headers", "headers::text", "{}"), returned_text("message", BODY, ""));
    format!(
        "with picked as materialized (
            select msg_id, read_ct, {bytes_of_headers} + {bytes_of_message} as bytes
            from {queue}
            where {which} and vt <= now()
            order by msg_id limit $2
            for update skip locked
        ), allowed as materialized (
            select coalesce(
                (select max_receive_count from bus.queues where name = '{name}'), 2147483647
            ) as receipts
        ), fitting as materialized (
            select msg_id from (
                select msg_id, bytes,
                    sum(bytes) over (order by msg_id rows unbounded preceding) as until
                from picked
                where read_ct < (select receipts from allowed) and bytes <= {MAX_ROW_BYTES}
            ) as summed
            where until <= $4 or until = bytes
        ), dead as (
            delete from {queue} as m
            where m.msg_id = any(array(
                select msg_id from picked
                where read_ct >= (select receipts from allowed) or bytes > {MAX_ROW_BYTES}
            ))
            returning m.enqueued_at, m.read_ct, m.message, m.headers,
                m.read_ct >= (select receipts from allowed) as spent
        ), parked as (
            insert into {dead_letters} (enqueued_at, vt, message, headers)
            select enqueued_at, now(), message, {headers} from dead
        )
        update {queue} as m
        set read_ct = greatest(m.read_ct, 0) + 1, last_read_at = now(), vt = now() + $3
        where m.msg_id = any(array(select msg_id from fitting))
        returning m.msg_id, m.read_ct, {ENQUEUED_AT}, {headers_out}, {body_out}"
    )
}

impl Statements {
    fn on(name: &str) -> Self {
        let queue = format!("pgmq.\"q_{name}\"");
        let dead_letters = format!("pgmq.\"q_{name}{DEAD_LETTERS}\"");
        // $1: the last message that was read, $2: number of messages to read. A dead letter is
        // visible at once.
        let remove = |which: &str| {
            format!(
                "with seen as materialized (
                    select msg_id, ({which}) as is_removed from {dead_letters}
                    where msg_id > $1 order by msg_id limit $2
                ), gone as (
                    delete from {dead_letters}
                    where msg_id = any(array(select msg_id from seen where is_removed))
                    returning 1
                )
                select (select count(*) from gone), (select max(msg_id) from seen)"
            )
        };
        // A long body is truncated.
        let shown = format!(
            "select msg_id, read_ct, enqueued_at, left(headers, {MAX_ROW_BYTES}) as headers,
                case when octet_length(body) <= {MAX_ROW_BYTES} then body
                    else left(body, 1000) || format('… (%s bytes)', octet_length(body)) end as body
            from (
                select msg_id, read_ct, {ENQUEUED_AT} as enqueued_at, headers::text as headers,
                    {BODY} as body
                from {dead_letters} "
        );
        Self {
            // $1: lowest msg_id.
            receive: receive(name, &queue, &dead_letters, "msg_id >= $1").into(),
            // $1: ids.
            receive_by_id: receive(name, &queue, &dead_letters, BY_ID).into(),
            // $1: lowest msg_id, $2: number of rows.
            visible: format!(
                "select msg_id from {queue} where msg_id >= $1 and vt <= now()
                order by msg_id limit $2"
            )
            .into(),
            // $1: the message, $2: the detail.
            quarantine: format!(
                "with gone as (
                    delete from {queue} where msg_id = $1 and vt <= now()
                    returning enqueued_at, message, headers
                )
                insert into {dead_letters} (enqueued_at, vt, message, headers)
                select enqueued_at, now(), message, {} from gone",
                dead_letter_headers(&format!("'{}'", Reason::Unreadable), "$2::text")
            )
            .into(),
            // $1: the message, $2: duration.
            postpone: format!("update {queue} set vt = now() + $2 where msg_id = $1").into(),
            // $1: the low-water mark. Without the privilege to read the sequence, the last drawn id
            // is unknown.
            observe: format!(
                "select (select min(msg_id) from {queue} where msg_id >= $1),
                    (select
                        case when has_sequence_privilege(ids, 'usage, select')
                            then pg_sequence_last_value(ids) end
                        from (
                            select pg_get_serial_sequence('{queue}', 'msg_id')::regclass as ids
                        ) as drawn),
                    pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
                    pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            )
            .into(),
            // $1: the low-water mark. Seconds until the next message becomes visible; none are left
            // if it is visible.
            next_visible: format!(
                "select
                    extract(epoch from least(min(vt), now() + interval '1 minute') - now())::float8
                from {queue} where msg_id >= $1"
            )
            .into(),
            // $1, $2: receipts.
            done: format!(
                "delete from {queue} as m
                using unnest($1::bigint[], $2::integer[]) as r (msg_id, read_ct)
                where m.msg_id = r.msg_id and m.read_ct = r.read_ct"
            )
            .into(),
            // $1, $2: receipts, $3: duration of each.
            hide: format!(
                "update {queue} as m set vt = now() + r.hidden
                from unnest($1::bigint[], $2::integer[], $3::interval[])
                    as r (msg_id, read_ct, hidden)
                where m.msg_id = r.msg_id and m.read_ct = r.read_ct"
            )
            .into(),
            // $1, $2: receipts, $3: reason of each, $4: detail of each.
            reject: format!(
                "with gone as (
                    delete from {queue} as m
                    using unnest($1::bigint[], $2::integer[], $3::text[], $4::text[])
                        as r (msg_id, read_ct, reason, detail)
                    where m.msg_id = r.msg_id and m.read_ct = r.read_ct
                    returning m.enqueued_at, m.message, m.headers, r.reason, r.detail
                )
                insert into {dead_letters} (enqueued_at, vt, message, headers)
                select enqueued_at, now(), message, {} from gone",
                dead_letter_headers("reason", "detail")
            )
            .into(),
            depth: format!(
                "select count(*) filter (where vt <= now()),
                    count(*) filter (where vt > now() and read_ct > 0),
                    count(*) filter (where vt > now() and read_ct = 0)
                from {queue}"
            )
            .into(),
            // $1: number of letters, $2: most bytes of all.
            dead_letters: format!(
                "select msg_id, read_ct, enqueued_at, headers, body from (
                    select *,
                        sum(coalesce(octet_length(headers), 0) + coalesce(octet_length(body), 0))
                        over (order by msg_id rows unbounded preceding) as until
                    from ({shown} order by msg_id limit $1) as letters) as cut) as fitting
                where until <= $2"
            )
            .into(),
            // $1: number of letters.
            dead_letter_ids: format!("select msg_id from {dead_letters} order by msg_id limit $1")
                .into(),
            // $1: the message.
            one_dead_letter: format!("{shown} where msg_id = $1) as letter").into(),
            // $3: retention.
            purge_dead_letters: remove(
                "case when isfinite(vt) then vt else enqueued_at end < now() - $3",
            )
            .into(),
            // $1, $2: as above, $3: the user. Of a pack of several users, the events of this user
            // are removed.
            erase_dead_letters: format!(
                "with read as materialized (
                    select msg_id, message,
                        coalesce($3 in (headers ->> 'userId', message ->> 'userId',
                            message #>> '{{MessageAttributes,userId,Value}}'), false) as is_named,
                        coalesce(message -> 'events' @>
                            jsonb_build_array(jsonb_build_object('userId', $3::text)), false)
                            and jsonb_typeof(message -> 'events') = 'array' as is_cut
                    from {dead_letters}
                    where msg_id > $1 order by msg_id limit $2
                ), seen as materialized (
                    select msg_id, is_cut, is_named or case when is_cut then not exists (
                        select from jsonb_array_elements(message -> 'events') as event
                        where event ->> 'userId' is distinct from $3) else false end as is_removed
                    from read
                ), gone as (
                    delete from {dead_letters}
                    where msg_id = any(array(select msg_id from seen where is_removed))
                    returning 1
                ), cut as (
                    update {dead_letters}
                    set message = jsonb_set(message, '{{events}}', coalesce((
                        select jsonb_agg(event)
                        from jsonb_array_elements(message -> 'events') as event
                        where event ->> 'userId' is distinct from $3), '[]'))
                    where msg_id = any(
                        array(select msg_id from seen where is_cut and not is_removed))
                    returning 1
                )
                select (select count(*) from gone) + (select count(*) from cut),
                    (select max(msg_id) from seen)"
            )
            .into(),
            // $1: number of letters.
            redrive: format!(
                "with picked as materialized (
                    select msg_id from {dead_letters} order by msg_id limit $1
                    for update skip locked
                ), gone as (
                    delete from {dead_letters} as m
                    where m.msg_id = any(array(select msg_id from picked))
                    returning m.message, m.headers
                )
                insert into {queue} (vt, message, headers)
                select now(), message,
                    case jsonb_typeof(headers)
                        when 'object' then headers - '{REASON_ATTRIBUTE}' - '{DETAIL_ATTRIBUTE}'
                        else headers end
                from gone"
            )
            .into(),
        }
    }
}
