//! Two replicas, one of which loses the database for a while.

use std::{sync::Arc, time::Duration};

use contract::Channel;
use support::wait_until;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use crate::test_service::{DueOccurrence, LIMIT, TestService};

/// Time for which the replica has no database.
const OUTAGE: Duration = Duration::from_secs(45);

/// Proxy of the database that can close all connections.
struct DatabaseProxy {
    port: u16,
    open: Arc<watch::Sender<bool>>,
}

impl DatabaseProxy {
    async fn to(host: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let open = Arc::new(watch::Sender::new(true));
        let of_others = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (host, mut open) = (host.clone(), of_others.subscribe());
                tokio::spawn(async move {
                    if !*open.borrow() {
                        return;
                    }
                    let Ok(mut server) = TcpStream::connect(host).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = open.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { port, open }
    }
}

#[tokio::test]
async fn sends_once_when_replica_is_cut_off_after_acceptance() {
    let mut service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let mut url = url::Url::parse(service.variable("DATABASE_URL")).expect("a URL");
    let way = DatabaseProxy::to(format!(
        "{}:{}",
        url.host_str().expect("a host"),
        url.port().expect("a port")
    ))
    .await;
    url.set_host(Some("127.0.0.1")).expect("a host");
    url.set_port(Some(way.port)).expect("a port");
    service.stop().await;
    service.replica(&[("DATABASE_URL", url.as_str())]).await;
    service.set_provider_mode(|mode| (mode.fcm.latency_ms, mode.ses.latency_ms) = (5_000, 5_000));
    let dues: Vec<DueOccurrence> =
        (0..5).map(|_| DueOccurrence::now("ada", &[Channel::Email, Channel::Push])).collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    // The sandbox captures a message before it responds, so the connections break between the
    // acceptance and its record.
    wait_until(LIMIT, async || {
        service.pushes("token-1").len() == 5 && service.emails("ada@example.com").len() == 5
    })
    .await;

    way.open.send_replace(false);
    service.restart().await;
    // The outage lasts longer than any attempt, and shorter than the rest of a lease.
    sleep(OUTAGE).await;
    way.open.send_replace(true);

    wait_until(LIMIT * 4, async || service.count_in_state("sent").await == 10).await;
    assert_eq!((service.pushes("token-1").len(), service.emails("ada@example.com").len()), (5, 5));
}
