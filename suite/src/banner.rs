//! What the suite says on the terminal.

use std::{fmt, io::IsTerminal, net::SocketAddr, path::PathBuf, time::Duration};

/// Where everything is, once it runs.
pub(crate) struct Banner {
    pub(crate) console: SocketAddr,
    pub(crate) reminder: SocketAddr,
    pub(crate) event: SocketAddr,
    pub(crate) notification: SocketAddr,
    pub(crate) sandbox: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) took: Duration,
}

/// Says what is being done.
pub(crate) fn progress(what: &str) {
    let (dim, plain) = styles("\x1b[2m", "\x1b[0m");
    println!("{dim}· {what} …{plain}");
}

/// Styles for a terminal; nothing for a pipe or a file.
fn styles(start: &'static str, end: &'static str) -> (&'static str, &'static str) {
    if std::io::stdout().is_terminal() { (start, end) } else { ("", "") }
}

impl Banner {
    /// The calls that register a device, make a reminder that is due in five seconds, and read what
    /// was delivered. `date` has one syntax on GNU systems and another on BSD's and macOS.
    pub(crate) fn commands(&self) -> [(&'static str, String); 3] {
        let identity =
            "-H 'X-Authenticated-Userid: demo' -H 'X-Consumer-Username: demo@example.com'";
        let json = "-H 'Content-Type: application/json'";
        let (reminder, notification) = (self.reminder, self.notification);
        let device = r#"{"fcmToken":"my-phone","type":"android","name":"My phone"}"#;
        let due = "$(date -u -d '+5 seconds' +%FT%TZ 2>/dev/null || date -u -v+5S +%FT%TZ)";
        let body = format!(
            r#"{{"date":"'"{due}"'","channels":["push","email"],"title":"Tea","message":"The tea is ready"}}"#
        );
        [
            (
                "register a device",
                format!(
                    "curl -s http://{notification}/device/register \\\n  {identity} \\\n  {json} -d '{device}'"
                ),
            ),
            (
                "a reminder due in five seconds",
                format!(
                    "curl -s http://{reminder}/reminders \\\n  {identity} \\\n  {json} -d '{body}'"
                ),
            ),
            (
                "what was delivered",
                format!("curl -s http://{notification}/notifications \\\n  {identity}"),
            ),
        ]
    }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bold, plain) = styles("\x1b[1m", "\x1b[0m");
        let (dim, _) = styles("\x1b[2m", "");
        let rows = [
            ("page", format!("{bold}http://{}{plain}", self.console)),
            ("reminder-service", format!("http://{}  {dim}(/docs){plain}", self.reminder)),
            ("notification-service", format!("http://{}  {dim}(/docs){plain}", self.notification)),
            ("event-service", format!("http://{}  {dim}(internal, /docs){plain}", self.event)),
            ("sandbox FCM and SES", format!("http://{}", self.sandbox)),
            ("data", self.data.display().to_string()),
        ];
        writeln!(
            f,
            "\n{bold}The suite runs{plain} {dim}(ready in {:.1} s){plain}\n",
            self.took.as_secs_f64()
        )?;
        for (name, value) in rows {
            writeln!(f, "  {name:<22}{value}")?;
        }
        writeln!(f, "\n  Open the page, or in another terminal:")?;
        for (about, command) in self.commands() {
            writeln!(f, "\n{dim}# {about}{plain}\n{command}")?;
        }
        write!(f, "\n{dim}Ctrl-C ends it; the data stays.{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_name_the_ports_that_were_chosen() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let banner = Banner {
            console: at(8090),
            reminder: at(3010),
            event: at(3011),
            notification: at(3012),
            sandbox: at(4000),
            data: PathBuf::from("data"),
            took: Duration::from_secs(2),
        };
        let [(_, register), (_, create), (_, read)] = banner.commands();
        assert!(register.contains("http://127.0.0.1:3012/device/register"), "{register}");
        assert!(create.contains("http://127.0.0.1:3010/reminders"), "{create}");
        assert!(read.contains("http://127.0.0.1:3012/notifications"), "{read}");
        assert!(banner.to_string().contains("http://127.0.0.1:8090"));
    }
}
