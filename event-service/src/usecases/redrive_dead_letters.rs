//! Redrive of dead letters: moves them back into their queue, to be consumed again.

use bus::SharedBus;

use super::Error;

/// Moves up to `max` dead letters back into their queue; returns their number.
///
/// # Errors
/// [`Error::Bus`]: the bus failed; some may have been moved.
pub async fn redrive_dead_letters(bus: &SharedBus, queue: &str, max: usize) -> Result<u64, Error> {
    let moved = bus.redrive(queue, max).await?;
    tracing::info!(moved, "dead letters were redriven");
    Ok(moved)
}
