//! Statements of the device registry: limits, tombstones and tokens that change hands.

use std::sync::Arc;

use contract::Reason;
use notification_service::{
    domain::device::{DeviceType, NewDevice, Token},
    store::{MIGRATOR, devices},
};
use sqlx::PgPool;

async fn registered(pool: &PgPool, user: &str, token: &str) -> devices::Registered {
    register_within(pool, user, token, 20).await
}

async fn register_within(
    pool: &PgPool,
    user: &str,
    token: &str,
    limit: usize,
) -> devices::Registered {
    let token = Token::parse(token.to_owned()).expect("a token");
    let new =
        NewDevice { user_id: user.to_owned(), token, device_type: DeviceType::Android, name: None };
    let mut transaction = pool.begin().await.expect("a transaction");
    let registered = devices::register(&mut transaction, &new, limit).await.expect("registered");
    transaction.commit().await.expect("committed");
    registered
}

/// Writes an occurrence with one pending delivery to each of the devices.

#[tokio::test]
async fn tombstones_device_only_when_unchanged() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = database.pool().await;
    let device = registered(&pool, "ada", "token-1").await.device;
    let refreshed = registered(&pool, "ada", "token-1").await.device;
    let dead = |version| [(device.id, version, Reason::Unregistered)];

    assert!(devices::invalidate(&pool, &dead(device.version)).await.expect("asked").is_empty());
    assert_eq!(devices::of_user(&pool, "ada").await.expect("asked").len(), 1);
    assert_eq!(devices::invalidate(&pool, &dead(refreshed.version)).await.expect("asked").len(), 1);
    assert!(devices::of_user(&pool, "ada").await.expect("asked").is_empty());
}

#[tokio::test]
async fn keeps_one_device_when_users_race_for_token() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = Arc::new(database.pool().await);
    let races = (0..16).map(|user| {
        let pool = Arc::clone(&pool);
        tokio::spawn(
            async move { registered(&pool, &format!("user-{}", user % 4), "token-1").await },
        )
    });
    for race in races.collect::<Vec<_>>() {
        race.await.expect("registered");
    }
    let devices: i64 = sqlx::query_scalar("select count(*) from devices")
        .fetch_one(&*pool)
        .await
        .expect("counted");
    assert_eq!(devices, 1);
}

#[tokio::test]
async fn evicts_least_recently_seen_device_at_limit() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = database.pool().await;
    for token in ["token-1", "token-2", "token-3", "token-1"] {
        assert!(register_within(&pool, "ada", token, 3).await.evicted.is_empty(), "{token}");
    }
    register_within(&pool, "bob", "token-9", 3).await;
    let fourth = register_within(&pool, "ada", "token-4", 3).await;

    let evicted: Vec<_> = fourth.evicted.iter().map(|device| device.user_id.as_str()).collect();
    assert_eq!(evicted, ["ada"]);
    let reason: String =
        sqlx::query_scalar("select invalid_reason from devices where token = 'token-2'")
            .fetch_one(&pool)
            .await
            .expect("a tombstone");
    assert_eq!(reason, "DEVICE_LIMIT");
    assert_eq!(devices::of_user(&pool, "ada").await.expect("asked").len(), 3);
    let again = register_within(&pool, "ada", "token-2", 3).await;
    assert_eq!(again.device.id, fourth.evicted[0].id, "the tombstone is the device again");
}

#[tokio::test]
async fn keeps_device_limit_when_registrations_race() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = Arc::new(database.pool().await);
    let tasks = (0..40).map(|number| {
        let pool = Arc::clone(&pool);
        // Two users, who also register each other's tokens.
        let user = format!("user-{}", number % 2);
        tokio::spawn(async move {
            register_within(&pool, &user, &format!("token-{}", number / 3), 3).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("registered");
    }
    for user in ["user-0", "user-1"] {
        let living = devices::of_user(&*pool, user).await.expect("asked").len();
        assert!((1..=3).contains(&living), "{user} has {living}");
    }
}

#[tokio::test]
async fn keeps_bounded_number_of_tombstones() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = database.pool().await;
    for number in 0..110 {
        register_within(&pool, "ada", &format!("token-{number}"), 1).await;
    }
    let kept: i64 =
        sqlx::query_scalar("select count(*) from devices").fetch_one(&pool).await.expect("counted");
    assert!((100..=102).contains(&kept), "{kept}");
}
