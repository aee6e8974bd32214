//! Registry of devices.

use contract::Reason;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::domain::device::{Device, NewDevice};

macro_rules! device {
    ($row:expr) => {{
        let row = $row;
        Device {
            id: row.id,
            user_id: row.user_id,
            device_type: row.device_type,
            name: row.name,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            version: row.version,
        }
    }};
}

/// Class of the advisory locks between registrations of one user: a number that no other lock uses.
const USER_LOCKS: i32 = 0x6465_7669;
/// Tombstones that are kept for each user; beyond it the oldest are deleted.
const MAX_TOMBSTONES: i64 = 100;

/// Result of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Device after the registration.
    pub device: Device,
    /// Device of another user that had the token before, which was deleted.
    pub moved_from: Option<Device>,
    /// The user's least recently seen devices, which this one evicted.
    pub evicted: Vec<Device>,
}

/// Registers a device, refreshes it, or takes its token over from another user. A token that moves
/// to another user becomes a new device with a new id: pushes to the old one must not reach the new
/// owner. If the user has more than `limit` live devices, the least recently seen become
/// tombstones. Call it in a transaction.
///
/// # Errors
/// If a statement fails.
pub async fn register(
    connection: &mut PgConnection,
    new: &NewDevice,
    limit: usize,
) -> Result<Registered, sqlx::Error> {
    lock(connection, new).await?;
    let moved_from = take_from_others(connection, new).await?;
    let device = insert_or_refresh(connection, new).await?;
    let evicted = evict(connection, &device, limit).await?;
    Ok(Registered { device, moved_from, evicted })
}

/// Locks the token and the user against other registrations until the transaction ends, so that no
/// other user becomes the token's owner between the statements that follow, and the count of the
/// user's devices is right.
async fn lock(connection: &mut PgConnection, new: &NewDevice) -> Result<(), sqlx::Error> {
    let digest = new.token.digest();
    let key = digest.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes));
    // Always the token first: a transaction that holds a user's lock waits for no token's lock.
    sqlx::query!("select pg_advisory_xact_lock($1)", key).execute(&mut *connection).await?;
    sqlx::query!("select pg_advisory_xact_lock($1, hashtext($2))", USER_LOCKS, new.user_id)
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_or_refresh(
    connection: &mut PgConnection,
    new: &NewDevice,
) -> Result<Device, sqlx::Error> {
    let row = sqlx::query!(
        r#"insert into devices as known (id, user_id, token, token_hash, type, name, last_seen_at)
           values ($1, $2, $3, $4, $5, $6, clock_timestamp())
           on conflict (token_hash) do update
           set type = excluded.type, name = coalesce(excluded.name, known.name), last_seen_at = excluded.last_seen_at,
               version = known.version + 1, invalidated_at = null, invalid_reason = null
           where known.user_id = excluded.user_id
           returning id, user_id, type as device_type, name, created_at, last_seen_at, version"#,
        contract::new_id(),
        new.user_id,
        new.token.as_str(),
        new.token.digest(),
        new.device_type.as_str(),
        new.name,
    )
    .fetch_one(connection)
    .await?;
    Ok(device!(row))
}

async fn take_from_others(
    connection: &mut PgConnection,
    new: &NewDevice,
) -> Result<Option<Device>, sqlx::Error> {
    let row = sqlx::query!(
        r#"delete from devices where token_hash = $1 and user_id <> $2
           returning id, user_id, type as device_type, name, created_at, last_seen_at, version"#,
        new.token.digest(),
        new.user_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| device!(row)))
}

/// Makes tombstones of the user's least recently seen devices beyond `limit`, and deletes the
/// oldest tombstones. A device that another transaction is removing or taking over is skipped, so
/// that no two registrations wait for each other.
async fn evict(
    connection: &mut PgConnection,
    newest: &Device,
    limit: usize,
) -> Result<Vec<Device>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with surplus as materialized (
               select id from devices where user_id = $1 and invalidated_at is null and id <> $2
               order by last_seen_at desc, id desc offset $3
           ),
           locked as materialized (
               select id from devices where id in (select id from surplus) and invalidated_at is null
               for update skip locked
           ),
           old as materialized (
               select id from devices where user_id = $1 and invalidated_at is not null
               order by invalidated_at desc, id desc offset $4
           ),
           deleted as (
               delete from devices where id in (select id from devices where id in (select id from old) for update skip locked)
           )
           update devices set invalidated_at = now(), invalid_reason = $5, version = version + 1
           where id in (select id from locked)
           returning id, user_id, type as device_type, name, created_at, last_seen_at, version"#,
        newest.user_id,
        newest.id,
        i64::try_from(limit.saturating_sub(1)).unwrap_or(i64::MAX),
        MAX_TOMBSTONES,
        Reason::DeviceLimit.as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| device!(row)).collect())
}

/// Returns a user's live devices, oldest first.
///
/// # Errors
/// If the statement fails.
pub async fn of_user(
    executor: impl PgExecutor<'_>,
    user_id: &str,
) -> Result<Vec<Device>, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, user_id, type as device_type, name, created_at, last_seen_at, version from devices
         where user_id = $1 and invalidated_at is null order by id",
        user_id,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| device!(row)).collect())
}

/// Removes a device of a user; returns `None` if the user has no such device.
///
/// # Errors
/// If the statement fails.
pub async fn remove(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Device>, sqlx::Error> {
    let row = sqlx::query!(
        "delete from devices where id = $1 and user_id = $2
         returning id, user_id, type as device_type, name, created_at, last_seen_at, version",
        id,
        user_id,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| device!(row)))
}

/// Makes tombstones of devices whose provider reported their token as dead, if they still are in
/// the version that was sent to; returns these devices.
///
/// # Errors
/// If the statement fails.
pub async fn invalidate(
    executor: impl PgExecutor<'_>,
    dead: &[(Uuid, i64, Reason)],
) -> Result<Vec<Device>, sqlx::Error> {
    let ids: Vec<Uuid> = dead.iter().map(|(id, ..)| *id).collect();
    let versions: Vec<i64> = dead.iter().map(|(_, version, _)| *version).collect();
    let reasons: Vec<&str> = dead.iter().map(|(.., reason)| reason.as_str()).collect();
    let rows = sqlx::query!(
        r#"update devices set invalidated_at = now(), invalid_reason = dead.reason, version = devices.version + 1
           from unnest($1::uuid[], $2::bigint[], $3::text[]) as dead (id, version, reason)
           where devices.id = dead.id and devices.version = dead.version and invalidated_at is null
           returning devices.id, user_id, type as device_type, name, created_at, last_seen_at, devices.version"#,
        &ids,
        &versions,
        &reasons as &[&str],
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| device!(row)).collect())
}
