//! The command line.

use std::path::{Path, PathBuf};

use clap::Parser;

/// Reminders from the POST to the phone and the mailbox, in one process: the four services, a private PostgreSQL, and
/// a sandbox in place of FCM and SES.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "suite",
    version,
    after_help = "Ports are those of the last start, else 3000, 3001, 3002 and 8080, else the next free ones. A port \
                  that is given must be free; 0 takes any."
)]
pub struct Options {
    /// Folder of the data: the database's cluster, and what the last start used
    #[arg(long, value_name = "DIR", default_value_os_t = default_data())]
    pub data: PathBuf,
    /// Port of the console page
    #[arg(long, value_name = "PORT")]
    pub console_port: Option<u16>,
    /// Port of reminder-service's REST API
    #[arg(long, value_name = "PORT")]
    pub reminder_port: Option<u16>,
    /// Port of event-service's internal API
    #[arg(long, value_name = "PORT")]
    pub event_port: Option<u16>,
    /// Port of notification-service's REST API
    #[arg(long, value_name = "PORT")]
    pub notification_port: Option<u16>,
    /// Port of the sandbox FCM and SES
    #[arg(long, value_name = "PORT")]
    pub sandbox_port: Option<u16>,
    /// Log what the services do (RUST_LOG chooses more finely)
    #[arg(long, short)]
    pub verbose: bool,
}

/// `.data` in the workspace this program was built from; in the current folder when that is gone.
fn default_data() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().filter(|dir| dir.join("Cargo.toml").is_file());
    workspace.unwrap_or(Path::new(".")).join(".data")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Options;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }
}
