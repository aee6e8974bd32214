//! Starts a cluster in the given folder, prints its process id and URL, and runs until it is
//! killed.

use private_postgres::{Cluster, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: hold FOLDER")?;
    let mut cluster = Cluster::start(Options::new(dir)).await?;
    println!("{} {}", cluster.pid(), cluster.url("postgres"));
    cluster.ended().await;
    Err("the server ended".into())
}
