//! Installation of the SQL of pgmq and of the bus, and creation of topics, queues and
//! subscriptions. Every step is idempotent, and safe if several processes start at once.

use sqlx::PgConnection;

use super::{
    PostgresBus, bounded, error,
    name::{self, DEAD_LETTERS},
};
use crate::{Error, QueueSpec, Subscription, Topology};

const ACTION: &str = "set up the bus";
/// Version of the installation, incremented with each change of bus.sql and each new pgmq.
/// Older processes keep a newer installation.
const VERSION: i32 = 2;
/// Advisory lock of the installation: "bus" in ASCII.
const LOCK: i64 = 0x62_7573;

impl PostgresBus {
    pub(super) async fn install(&self, topology: &Topology) -> Result<(), Error> {
        let topics =
            topology.topics.iter().map(|topic| name::of(topic)).collect::<Result<Vec<_>, _>>()?;
        let queues = topology.queues.iter().map(Queue::of).collect::<Result<Vec<_>, _>>()?;
        if bounded(ACTION, self.installed_version()).await?.is_none_or(|version| version < VERSION)
        {
            self.install_pgmq().await?;
            bounded(ACTION, self.install_schema()).await?;
        }
        bounded(ACTION, self.create(&topics, &queues)).await
    }

    async fn installed_version(&self) -> Result<Option<i32>, sqlx::Error> {
        version(&mut *self.pool.acquire().await?).await
    }

    /// Runs the installer of pgmq, which takes a lock of its own, unless the extension exists.
    async fn install_pgmq(&self) -> Result<(), Error> {
        let query =
            sqlx::query_scalar("select exists (select from pg_extension where extname = 'pgmq')");
        if bounded(ACTION, query.fetch_one(&self.pool)).await? {
            return Ok(());
        }
        match tokio::time::timeout(
            super::CALL_LIMIT,
            pgmq::install::install_sql_from_embedded(&self.pool),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(pgmq::PgmqError::DatabaseError(source))) => Err(error::classify(ACTION, source)),
            Ok(Err(other)) => Err(Error::Misconfigured { action: ACTION, source: other.into() }),
            Err(elapsed) => Err(Error::Unavailable { action: ACTION, source: elapsed.into() }),
        }
    }

    async fn install_schema(&self) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        if version(&mut transaction).await?.is_none_or(|version| version < VERSION) {
            sqlx::raw_sql(include_str!("bus.sql")).execute(&mut *transaction).await?;
            sqlx::query(
                "insert into bus.installed (version) values ($1)
                on conflict (only_row) do update set version = $1",
            )
            .bind(VERSION)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    async fn create(&self, topics: &[String], queues: &[Queue]) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        create_topics(&mut transaction, topics).await?;
        for queue in queues {
            queue.create(&mut transaction).await?;
        }
        transaction.commit().await
    }
}

/// Specification of a queue with names instead of ARNs and URLs.
struct Queue {
    name: String,
    max_receive_count: i32,
    /// Topics and filters.
    subscriptions: Vec<(String, serde_json::Value)>,
}

impl Queue {
    fn of(spec: &QueueSpec) -> Result<Self, Error> {
        let subscription = |subscription: &Subscription| {
            Ok((name::of(&subscription.topic)?, serde_json::json!(subscription.filter)))
        };
        Ok(Self {
            name: name::of(&spec.queue)?,
            max_receive_count: i32::try_from(spec.max_receive_count.max(1)).unwrap_or(i32::MAX),
            subscriptions: spec
                .subscriptions
                .iter()
                .map(subscription)
                .collect::<Result<_, Error>>()?,
        })
    }

    async fn create(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for name in [self.name.clone(), format!("{}{DEAD_LETTERS}", self.name)] {
            sqlx::query("select bus.create_queue($1)").bind(name).execute(&mut *connection).await?;
        }
        sqlx::query(
            "insert into bus.queues (name, max_receive_count) values ($1, $2)
            on conflict (name) do update set max_receive_count = $2
            where queues.max_receive_count <> $2",
        )
        .bind(&self.name)
        .bind(self.max_receive_count)
        .execute(&mut *connection)
        .await?;
        for (topic, filter) in &self.subscriptions {
            create_topics(connection, std::slice::from_ref(topic)).await?;
            sqlx::query(
                "insert into bus.subscriptions (topic, queue, filter) values ($1, $2, $3)
                on conflict (topic, queue) do update set filter = $3
                where subscriptions.filter <> $3",
            )
            .bind(topic)
            .bind(&self.name)
            .bind(filter)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}

async fn create_topics(
    connection: &mut PgConnection,
    topics: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into bus.topics (name) select unnest($1::text[]) on conflict (name) do nothing",
    )
    .bind(topics)
    .execute(connection)
    .await
    .map(drop)
}

async fn version(connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    let exists = sqlx::query_scalar("select to_regclass('bus.installed') is not null");
    if !exists.fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    sqlx::query_scalar("select version from bus.installed").fetch_optional(connection).await
}

async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(connection).await.map(drop)
}
