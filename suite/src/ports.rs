//! Which port each listener takes: the one that is asked for, else the last one, else the usual
//! one, else a free one.

use std::io;

use anyhow::Context;

/// Between two tries, so that the ports of a second instance are recognisable: 3000, 3001, 3002
/// become 3010, 3011, 3012.
const STEP: u16 = 10;
/// How many are tried before the system chooses.
const TRIES: u16 = 20;

/// What is known of a listener's port before it is bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// The option that asks for one.
    pub(crate) option: &'static str,
    /// What the option says.
    pub(crate) asked: Option<u16>,
    /// What the last start had.
    pub(crate) last: Option<u16>,
    /// What it usually is; none when any will do.
    pub(crate) usual: Option<u16>,
}

impl Wish {
    /// The ports to try, in order.
    fn candidates(&self) -> Vec<u16> {
        if let Some(asked) = self.asked {
            return vec![asked];
        }
        let steps = self
            .usual
            .into_iter()
            .flat_map(|usual| (0..TRIES).map(move |n| usual.saturating_add(n * STEP)));
        self.last.into_iter().chain(steps).chain([0]).collect()
    }

    /// Starts a listener on the first port that is free. To bind is the test, so that nobody takes
    /// it in between.
    ///
    /// # Errors
    /// When the start fails for another reason than a taken port, or none that may be tried is
    /// free.
    pub(crate) async fn start<T, F>(&self, mut start: impl FnMut(u16) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let mut refused = None;
        for port in self.candidates() {
            match start(port).await {
                Err(error) if is_taken(&error) => refused = Some((port, error)),
                settled => return settled,
            }
        }
        let (port, error) = refused.context("no port to try")?;
        let option = self.option;
        Err(error).with_context(|| {
            format!("port {port} is taken: give another {option}, or leave it out")
        })
    }
}

fn is_taken(error: &anyhow::Error) -> bool {
    let kinds =
        error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use tokio::net::TcpListener;

    use super::Wish;

    const ANY: Wish = Wish { option: "--a-port", asked: None, last: None, usual: None };

    async fn bind(port: u16) -> anyhow::Result<TcpListener> {
        TcpListener::bind(("127.0.0.1", port)).await.context("could not listen")
    }

    async fn taken() -> (TcpListener, u16) {
        let listener = bind(0).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    #[test]
    fn the_last_port_comes_before_the_usual_ones() {
        let wish = Wish { last: Some(4000), usual: Some(3000), ..ANY };
        assert_eq!(wish.candidates()[..3], [4000, 3000, 3010]);
        assert_eq!(wish.candidates().last(), Some(&0));
    }

    #[tokio::test]
    async fn a_taken_port_is_passed_over() {
        let (_listener, port) = taken().await;
        let bound = Wish { last: Some(port), ..ANY }.start(bind).await.expect("another port");
        assert_ne!(bound.local_addr().expect("an address").port(), port);
    }

    #[tokio::test]
    async fn a_taken_port_that_was_asked_for_is_an_error_that_says_what_to_do() {
        let (_listener, port) = taken().await;
        let error = Wish { asked: Some(port), ..ANY }.start(bind).await.expect_err("taken");
        assert_eq!(
            error.to_string(),
            format!("port {port} is taken: give another --a-port, or leave it out")
        );
    }

    #[tokio::test]
    async fn any_other_failure_ends_the_search() {
        let mut calls = 0;
        let failing = Wish { usual: Some(3000), ..ANY }.start(|_| {
            calls += 1;
            async { anyhow::bail!("no database") as anyhow::Result<()> }
        });
        assert_eq!(failing.await.expect_err("it fails").to_string(), "no database");
        assert_eq!(calls, 1);
    }
}
