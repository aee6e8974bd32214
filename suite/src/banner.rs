//! Output of the suite on the terminal.

use std::{fmt, io::IsTerminal, net::SocketAddr, path::PathBuf, time::Duration};

/// Addresses of the running suite.
pub(crate) struct Banner {
    pub(crate) console: SocketAddr,
    pub(crate) reminder: SocketAddr,
    pub(crate) event: SocketAddr,
    pub(crate) notification: SocketAddr,
    pub(crate) sandbox: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) start_time: Duration,
}

/// Prints the current step.
pub(crate) fn progress(step: &str) {
    let (dim, plain) = styles("\x1b[2m", "\x1b[0m");
    println!("{dim}· {step} …{plain}");
}

/// Escape sequences for a terminal; empty for a pipe or a file.
fn styles(start: &'static str, end: &'static str) -> (&'static str, &'static str) {
    if std::io::stdout().is_terminal() { (start, end) } else { ("", "") }
}

impl Banner {
    /// Calls that register a device, create a reminder that is due in five seconds, and read the
    /// deliveries. `date` has one syntax on GNU systems and another on BSD and macOS.
    pub(crate) fn commands(&self) -> [(&'static str, String); 3] {
        let identity =
            "-H 'X-Authenticated-Userid: demo' -H 'X-Consumer-Username: demo@example.com'";
        let json = "-H 'Content-Type: application/json'";
        let (reminder, notification) = (self.reminder, self.notification);
        let device = r#"{"fcmToken":"my-phone","type":"android","name":"My phone"}"#;
        let due = "$(date -u -d '+5 seconds' +%FT%TZ 2>/dev/null || date -u -v+5S +%FT%TZ)";
        let body = [
            r#"{"date":"'""#,
            due,
            r#""'","channels":["push","email"],"title":"Tea","message":"The tea is ready"}"#,
        ]
        .concat();
        let post = |address: SocketAddr, path: &str, body: &str| {
            format!("curl -s http://{address}{path} \\\n  {identity} \\\n  {json} -d '{body}'")
        };
        [
            ("register a device", post(notification, "/device/register", device)),
            ("create a reminder due in five seconds", post(reminder, "/reminders", &body)),
            (
                "list the deliveries",
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
            ("console", format!("{bold}http://{}{plain}", self.console)),
            ("reminder-service", format!("http://{}  {dim}(/docs){plain}", self.reminder)),
            ("notification-service", format!("http://{}  {dim}(/docs){plain}", self.notification)),
            ("event-service", format!("http://{}  {dim}(internal, /docs){plain}", self.event)),
            ("sandbox FCM and SES", format!("http://{}", self.sandbox)),
            ("data", self.data.display().to_string()),
        ];
        writeln!(
            f,
            "\n{bold}The suite is running{plain} {dim}(ready after {:.1} s){plain}\n",
            self.start_time.as_secs_f64()
        )?;
        for (name, value) in rows {
            writeln!(f, "  {name:<22}{value}")?;
        }
        writeln!(f, "\n  Open the console in a browser, or run in another terminal:")?;
        for (about, command) in self.commands() {
            writeln!(f, "\n{dim}# {about}{plain}\n{command}")?;
        }
        write!(f, "\n{dim}Press Ctrl-C to stop. The data is kept.{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_chosen_ports_in_commands() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let banner = Banner {
            console: at(8090),
            reminder: at(3010),
            event: at(3011),
            notification: at(3012),
            sandbox: at(4000),
            data: PathBuf::from("data"),
            start_time: Duration::from_secs(2),
        };
        let [(_, register), (_, create), (_, read)] = banner.commands();
        assert!(register.contains("http://127.0.0.1:3012/device/register"), "{register}");
        assert!(create.contains("http://127.0.0.1:3010/reminders"), "{create}");
        assert!(read.contains("http://127.0.0.1:3012/notifications"), "{read}");
        assert!(banner.to_string().contains("http://127.0.0.1:8090"));
    }
}
