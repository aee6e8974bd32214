//! Choice of the port of each listener: the requested one, else the last one, else the usual one,
//! else any free one.

use std::io;

use anyhow::Context;

/// Distance between two candidates, so that the ports of a second instance are easy to recognize:
/// 3010, 3011, 3012 instead of 3000, 3001, 3002.
const STEP: u16 = 10;
/// Number of candidates before the operating system chooses.
const CANDIDATES: u16 = 20;

/// Candidates for the port of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortChoice {
    /// Option that requests a port.
    pub(crate) option: &'static str,
    /// Port that the option requests.
    pub(crate) requested: Option<u16>,
    /// Port of the last start.
    pub(crate) last: Option<u16>,
    /// Usual port; `None` if any port will do.
    pub(crate) usual: Option<u16>,
}

impl PortChoice {
    /// Returns the ports to try, in order.
    fn candidates(&self) -> Vec<u16> {
        if let Some(requested) = self.requested {
            return vec![requested];
        }
        let steps = self
            .usual
            .into_iter()
            .flat_map(|usual| (0..CANDIDATES).map(move |n| usual.saturating_add(n * STEP)));
        self.last.into_iter().chain(steps).chain([0]).collect()
    }

    /// Starts a listener on the first free port. A port is tested by binding it, so that no other
    /// process can take it between the test and the start.
    ///
    /// # Errors
    /// If no candidate is free, or the start fails for another reason.
    pub(crate) async fn start<T, F>(&self, mut start: impl FnMut(u16) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let mut refused = None;
        for port in self.candidates() {
            match start(port).await {
                Err(error) if is_in_use(&error) => refused = Some((port, error)),
                settled => return settled,
            }
        }
        let (port, error) = refused.context("no port to try")?;
        let option = self.option;
        Err(error).with_context(|| format!("port {port} is in use: give another {option}, or none"))
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let kinds =
        error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use tokio::net::TcpListener;

    use super::PortChoice;

    const ANY: PortChoice =
        PortChoice { option: "--a-port", requested: None, last: None, usual: None };

    async fn bind(port: u16) -> anyhow::Result<TcpListener> {
        TcpListener::bind(("127.0.0.1", port)).await.context("could not listen")
    }

    async fn taken() -> (TcpListener, u16) {
        let listener = bind(0).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    #[test]
    fn prefers_last_port_to_usual_ones() {
        let choice = PortChoice { last: Some(4000), usual: Some(3000), ..ANY };
        assert_eq!(choice.candidates()[..3], [4000, 3000, 3010]);
        assert_eq!(choice.candidates().last(), Some(&0));
    }

    #[tokio::test]
    async fn skips_port_in_use() {
        let (_listener, port) = taken().await;
        let bound = PortChoice { last: Some(port), ..ANY }.start(bind).await.expect("another port");
        assert_ne!(bound.local_addr().expect("an address").port(), port);
    }

    #[tokio::test]
    async fn refuses_requested_port_in_use() {
        let (_listener, port) = taken().await;
        let error =
            PortChoice { requested: Some(port), ..ANY }.start(bind).await.expect_err("taken");
        assert_eq!(
            error.to_string(),
            format!("port {port} is in use: give another --a-port, or none")
        );
    }

    #[tokio::test]
    async fn stops_at_any_other_failure() {
        let mut calls = 0;
        let failing = PortChoice { usual: Some(3000), ..ANY }.start(|_| {
            calls += 1;
            async { anyhow::bail!("no database") as anyhow::Result<()> }
        });
        assert_eq!(failing.await.expect_err("it fails").to_string(), "no database");
        assert_eq!(calls, 1);
    }
}
