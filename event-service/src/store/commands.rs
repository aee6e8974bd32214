//! Commands for notification-service: the table `commands`, from which the scheduler publishes them
//! on the notification topic.

use service::outbox::OutboxMessage;
use sqlx::PgConnection;

/// Inserts commands. A command whose id already exists is the same command and stays unchanged.
///
/// # Errors
/// If the statement fails.
pub async fn insert(
    connection: &mut PgConnection,
    commands: &[OutboxMessage],
) -> Result<(), sqlx::Error> {
    if commands.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = commands.iter().map(|command| command.event_id).collect();
    let bodies: Vec<&str> = commands.iter().map(|command| command.message.body.as_str()).collect();
    let attributes: Vec<serde_json::Value> =
        commands.iter().map(|command| serde_json::json!(command.message.attributes)).collect();
    sqlx::query!(
        "insert into commands (event_id, body, attributes)
         select * from unnest($1::uuid[], $2::text[], $3::jsonb[])
         on conflict (event_id) do nothing",
        &ids,
        &bodies as &[&str],
        &attributes,
    )
    .execute(connection)
    .await?;
    Ok(())
}
