//! A thin client of the decision point: connect, ask, and read errors as people do.
//!
//! ```no_run
//! # async fn ask() -> Result<(), magistrate_client::ClientError> {
//! use magistrate_client::{Client, DEADLINE, check_request, entity_ref, is_allowed};
//!
//! let client = Client::connect("http://127.0.0.1:7700").await?;
//! let request = check_request(
//!     entity_ref("Company::User", "ana"),
//!     "message:read",
//!     entity_ref("Company::Message", "m1"),
//! );
//! let allowed = is_allowed(&client.check(request, DEADLINE).await?);
//! # Ok(())
//! # }
//! ```

mod build;
mod error;
mod nodes;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub use magistrate_proto::{Duration as WireDuration, Timestamp, structure, v1};
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};
use v1::authorization_service_client::AuthorizationServiceClient;
use v1::{CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, Decision};

pub use build::{asserted_entity, check_request, entity_ref, entity_uid};
pub use error::{ClientError, FieldError, Refusal};
pub use nodes::Nodes;

/// A deadline that suits most callers.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// The longest deadline that is sent; `grpc-timeout` has no room for much longer ones.
const LONGEST: Duration = Duration::from_hours(24);
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to a decision point. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    service: AuthorizationServiceClient<Channel>,
    /// `Bearer …`, marked so that nothing shows it.
    authorization: Option<AsciiMetadataValue>,
    /// Where it was connected to, if others on the way can read what is sent there.
    exposed: Option<String>,
}

/// How to connect.
#[derive(Clone, Default)]
pub struct Options {
    /// The API key to present.
    pub api_key: Option<String>,
    /// Certificates, as PEM, of those who may sign the server's; the system's where there are none.
    pub authorities: Option<Vec<u8>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("api_key", &self.api_key.as_ref().map(|_| "…")).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to `http://host:port`, or over TLS to `https://host:port`; without a scheme it is `http`.
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, &Options::default()).await
    }

    /// The same with a key, or with authorities of one's own.
    pub async fn connect_with(endpoint: &str, options: &Options) -> Result<Self, ClientError> {
        let mut parsed = parse(endpoint)?;
        let exposed = is_exposed(parsed.uri()).then(|| endpoint.to_owned());
        if let (Some(endpoint), Some(_)) = (&exposed, &options.api_key) {
            return Err(ClientError::in_clear(endpoint));
        }
        if parsed.uri().scheme_str() == Some("https") {
            let tls = match &options.authorities {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            parsed = parsed.tls_config(tls).map_err(|error| ClientError::unreachable(endpoint, &error))?;
        }
        let channel = parsed.connect().await.map_err(|error| ClientError::unreachable(endpoint, &error))?;
        let client = Self { exposed, ..Self::over(channel) };
        match &options.api_key {
            Some(key) => client.with_api_key(key),
            None => Ok(client),
        }
    }

    /// A client over a channel made elsewhere. Whoever made it knows whether a key may travel on it.
    pub fn over(channel: Channel) -> Self {
        Self { service: AuthorizationServiceClient::new(channel), authorization: None, exposed: None }
    }

    /// Presents an API key with every call. A key is not sent in clear to another machine.
    pub fn with_api_key(self, key: &str) -> Result<Self, ClientError> {
        if let Some(endpoint) = &self.exposed {
            return Err(ClientError::in_clear(endpoint));
        }
        let mut authorization = AsciiMetadataValue::try_from(format!("Bearer {}", key.trim()))
            .map_err(|_| ClientError::Key("it has characters that no key has".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Self { authorization: Some(authorization), ..self })
    }

    fn request<T>(&self, message: T, deadline: Duration) -> Request<T> {
        let mut request = within(message, deadline);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    /// Asks for one decision.
    pub async fn check(&self, request: CheckRequest, deadline: Duration) -> Result<CheckResponse, ClientError> {
        let answer = self.service.clone().check(self.request(request, deadline)).await?;
        Ok(answer.into_inner())
    }

    /// Asks for up to 1,000 decisions, answered by one state in order.
    pub async fn check_batch(
        &self,
        request: CheckBatchRequest,
        deadline: Duration,
    ) -> Result<CheckBatchResponse, ClientError> {
        let answer = self.service.clone().check_batch(self.request(request, deadline)).await?;
        Ok(answer.into_inner())
    }
}

/// Whether the answer is an allow. Everything else, known to this version or not, is a no.
pub fn is_allowed(answer: &CheckResponse) -> bool {
    answer.decision == i32::from(Decision::Allow)
}

fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline.min(LONGEST));
    request
}

fn parse(endpoint: &str) -> Result<Endpoint, ClientError> {
    let refused = |why: &str| ClientError::Endpoint { endpoint: endpoint.to_owned(), why: why.to_owned() };
    let address = match endpoint.split_once("://") {
        None => format!("http://{endpoint}"),
        Some(("http" | "https", _)) => endpoint.to_owned(),
        Some(_) => return Err(refused("only `http` and `https` are spoken")),
    };
    let endpoint = Endpoint::from_shared(address).map_err(|_| refused("it does not parse"))?;
    if endpoint.uri().host().is_none_or(str::is_empty) {
        return Err(refused("it names no host"));
    }
    Ok(endpoint.connect_timeout(CONNECT).tcp_nodelay(true))
}

/// Whether others on the way can read what is sent. A name counts as another machine's, except `localhost`.
fn is_exposed(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback());
    uri.scheme_str() != Some("https") && !is_here
}

#[cfg(test)]
mod tests;
