//! Arguments of `check`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Who, such as `Company::User::ana` or `Company::User::"ana"`
    pub(crate) principal: String,
    /// What, such as `Company::Action::"readMessage"`, or the bare id in the default namespace
    pub(crate) action: String,
    /// On what, such as `Company::Message::m-1001`
    pub(crate) resource: String,
    /// Context as a JSON object, or `@FILE`
    #[arg(long, value_name = "JSON")]
    pub(crate) context: Option<String>,
    /// The end user's address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<String>,
    #[command(flatten)]
    pub(crate) parties: PartyArgs,
    /// Server to ask
    #[arg(long, env = "MAGISTRATE_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7700")]
    pub(crate) server: String,
    /// File with the API key to present
    #[arg(long, env = "MAGISTRATE_API_KEY_FILE", value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// File with the certificates, as PEM, of those who may sign the server's [default: the system's]
    #[arg(long, env = "MAGISTRATE_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Ask the files of a policy directory and its data instead, without any server or record
    #[arg(long, value_name = "DIR", conflicts_with_all = ["at_least_revision", "request_id"])]
    pub(crate) offline: Option<PathBuf>,
    /// With --offline: the clock, RFC 3339 or relative to now such as `+2h`
    #[arg(long, requires = "offline", value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
    /// Accept no answer by an older revision than this
    #[arg(long, value_name = "REVISION")]
    pub(crate) at_least_revision: Option<u64>,
    /// Your own id for the request, kept in the record
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
}

/// Data a caller vouches for, for entity types that are asserted.
#[derive(Debug, Args)]
pub(crate) struct PartyArgs {
    /// The principal's attributes as a JSON object or `@FILE`, for an asserted type
    #[arg(long, value_name = "JSON")]
    pub(crate) principal_attributes: Option<String>,
    /// A parent of the asserted principal; may be repeated
    #[arg(long, value_name = "UID", requires = "principal_attributes")]
    pub(crate) principal_parent: Vec<String>,
    /// The resource's attributes as a JSON object or `@FILE`, for an asserted type
    #[arg(long, value_name = "JSON")]
    pub(crate) resource_attributes: Option<String>,
    /// A parent of the asserted resource; may be repeated
    #[arg(long, value_name = "UID", requires = "resource_attributes")]
    pub(crate) resource_parent: Vec<String>,
}
