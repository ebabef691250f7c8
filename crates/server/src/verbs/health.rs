//! `health`: asks a running server through its operations listener, without a shell or another program.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::cli::HealthArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

/// A server that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const MOST: usize = 64 * 1024;

pub(crate) async fn run(config: &Config, out: Out, args: &HealthArgs) -> anyhow::Result<Exit> {
    let path = if args.live { "/livez" } else { "/readyz" };
    let address = address(config, args)?;
    let asked = tokio::time::timeout(PATIENCE, ask(address, path)).await;
    let (well, says) = asked
        .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))
        .and_then(|answer| answer)
        .with_context(|| format!("cannot ask `{address}`{path} for its health; is the server running there?"))?;
    let lines = || says.trim_end().to_owned();
    out.either(lines, || json!({ "well": well, "says": says.lines().collect::<Vec<_>>() }))?;
    Ok(if well { Exit::Ok } else { Exit::Failed })
}

fn address(config: &Config, args: &HealthArgs) -> anyhow::Result<SocketAddr> {
    let configured = match &args.ops {
        Some(text) => {
            text.split(',').filter_map(|text| text.trim().parse::<SocketAddr>().ok()).find(|it| it.ip().is_loopback())
        }
        None => config.ops.local(),
    };
    configured.ok_or_else(|| {
        anyhow!("no operations listener on a loopback address is configured; give one with `--ops 127.0.0.1:7702`, or `ops.listen`")
    })
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(bool, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request =
        http::Request::get(path).header(http::header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let well = response.status().is_success();
        let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|error| anyhow!(error))?;
        anyhow::Ok((well, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    tokio::pin!(answered, connection);
    tokio::select! {
        answer = &mut answered => answer,
        ended = &mut connection => {
            ended?;
            answered.await
        }
    }
}
