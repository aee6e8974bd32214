//! `test-postgres url` starts the test cluster if it does not run, and prints its URL;
//! `test-postgres stop` stops it.

use anyhow::bail;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("url") => println!("{}", support::postgres::cluster_url().await?),
        Some("stop") => {
            let ran = support::postgres::stop().await?;
            println!("{}", if ran { "stopped" } else { "was not running" });
        }
        _ => bail!("usage: test-postgres url|stop"),
    }
    Ok(())
}
