//! The load generator against the provider alone: the upper limit of all other rows.

use std::{sync::Arc, time::Duration};

use http::Method;

use crate::{
    cpu::{Meter, Watched},
    load::{self, Until, request},
    marker,
    options::Options,
    progress::Progress,
    report::{Figure, Row},
    stats::rate,
    testbed::Testbed,
};

/// The same number of connections as in the API rows.
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(
    options: &Options,
    testbed: &Testbed,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let seconds = options.seconds(5);
    let addr = testbed.provider.addr();
    testbed.provider.reset(0).await?;
    let body = format!(
        r#"{{"message":{{"token":"t","notification":{{"body":"{}"}}}}}}"#,
        marker::text(1, 1)
    );
    let send = move |_| {
        request(Method::POST, addr, "/v1/projects/bench/messages:send", "bench", body.clone())
    };
    let watched = Watched {
        processes: vec![
            ("provider", testbed.provider.process.pid()),
            ("bench", std::process::id().cast_signed()),
        ],
        postmaster: None,
    };
    let meter = Meter::start(watched)?;
    let _waiting = Progress::waiting("generator: as fast as it can");
    let until = Until::Elapsed(Duration::from_secs(seconds));
    let outcome = load::run(addr, CONNECTIONS, until, Arc::new(send), |_| ()).await?;
    let row =
        Row::new("generator", "load generator against the provider, HTTP/1.1, 64 connections")
            .figure(Figure::new(
                "perSecond",
                "requests",
                rate(outcome.requests, outcome.time),
                "/s",
            ))
            .figure(Figure::new("p99Ms", "p99", outcome.latency_ms.p99, "ms"))
            .cpu(outcome.requests, meter.read()?);
    rows.push(row);
    Ok(())
}
