//! What each node serves, as it tells itself.

use magistrate_ledger::StreamId;
use magistrate_model::{Digest, Instant, Revision};
use magistrate_pap::StoreError;
use magistrate_pap::rows::{self, InconsistentRow, stored};

use crate::connect::{Purpose, Session, within};
use crate::policy::ReadError;
use crate::policy::statements::{NODES, REPORT};
use crate::store::PostgresStore;

/// What a node serves. A node that is silent for a day is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// The stream of its run: tells nodes apart that share a name.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// The revision it serves.
    pub revision: Revision,
    /// The policy set it serves; `None` before the first apply.
    pub policy_set: Option<Digest>,
    /// When its run began.
    pub started_at: Instant,
    /// When it told this.
    pub reported_at: Instant,
}

/// Stream, name, version, revision, policy set, begin, time of the report.
type Row = (Vec<u8>, String, String, i64, Option<Vec<u8>>, i64, i64);

impl PostgresStore {
    /// Tells what this node serves.
    pub async fn report(&self, report: &NodeReport) -> Result<(), StoreError> {
        let told = async {
            let mut transaction = self.administration().begin(Purpose::Change).await?;
            tell(&mut transaction, report).await?;
            Ok::<_, ReadError>(transaction.commit().await?)
        };
        Ok(within(Purpose::Glance.limit(), told).await?)
    }

    /// What every node serves, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeReport>, StoreError> {
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Glance).await?;
            let rows = all(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, ReadError>(rows.into_iter().map(node).collect::<Result<_, _>>()?)
        };
        Ok(within(Purpose::Glance.limit(), read).await?)
    }
}

async fn tell(session: &mut Session, report: &NodeReport) -> Result<(), ReadError> {
    sqlx::query(REPORT)
        .persistent(session.prepares)
        .bind(report.stream.as_bytes().as_slice())
        .bind(report.name.as_str())
        .bind(report.version.as_str())
        .bind(stored(report.revision)?)
        .bind(report.policy_set.as_ref().map(|digest| digest.as_bytes().as_slice()))
        .bind(report.started_at.micros())
        .bind(report.reported_at.micros())
        .execute(&mut session.connection)
        .await?;
    Ok(())
}

async fn all(session: &mut Session) -> Result<Vec<Row>, ReadError> {
    Ok(sqlx::query_as(NODES).persistent(session.prepares).fetch_all(&mut session.connection).await?)
}

fn node(
    (stream, name, version, at_revision, policy_set, started_at, reported_at): Row,
) -> Result<NodeReport, InconsistentRow> {
    let refused = |why: &dyn std::fmt::Display| InconsistentRow::new("node", &name, why);
    let stream: [u8; 16] = stream.try_into().map_err(|_| refused(&"its stream has not 16 bytes"))?;
    Ok(NodeReport {
        stream: StreamId::new(stream),
        version,
        revision: rows::revision("node", at_revision)?,
        policy_set: policy_set.map(|digest| rows::digest("node", &name, &digest)).transpose()?,
        started_at: Instant::from_micros(started_at).map_err(|why| refused(&why))?,
        reported_at: Instant::from_micros(reported_at).map_err(|why| refused(&why))?,
        name,
    })
}
