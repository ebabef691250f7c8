//! API keys.

use magistrate_identity::{ApiKey, ListedKey};
use magistrate_model::{Authorship, KeyId};
use magistrate_pap::rows::{self, InconsistentRow};
use magistrate_pap::{Keys, StoreError};
use sqlx::FromRow;
use sqlx::postgres::PgRow;

use super::ReadError;
use super::statements::{ISSUE_KEY, KEYS, LISTED_KEYS, REVOKE_KEY};
use crate::connect::{Purpose, within};
use crate::store::PostgresStore;

impl Keys for PostgresStore {
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read_keys(KEYS, rows::api_key).await
    }

    async fn listed_keys(&self) -> Result<Vec<ListedKey>, StoreError> {
        self.read_keys(LISTED_KEYS, rows::listed_key).await
    }

    async fn issue_key(&self, key: &ApiKey, authorship: &Authorship) -> Result<(), StoreError> {
        let issued = async {
            let mut transaction = self.administration().begin(Purpose::Change).await?;
            sqlx::query(ISSUE_KEY)
                .persistent(transaction.prepares)
                .bind(key.id.as_str())
                .bind(key.caller.as_str())
                .bind(key.hash.as_bytes().as_slice())
                .bind(key.kind.name())
                .bind(key.created_at.micros())
                .bind(key.expires_at.micros())
                .bind(authorship.actor.as_str())
                .bind(authorship.reason.as_str())
                .execute(&mut transaction.connection)
                .await?;
            Ok::<_, ReadError>(transaction.commit().await?)
        };
        Ok(within(Purpose::Glance.limit(), issued).await?)
    }

    async fn revoke_key(&self, id: &KeyId, authorship: &Authorship) -> Result<bool, StoreError> {
        let revoked = async {
            let mut transaction = self.administration().begin(Purpose::Change).await?;
            let found: bool = sqlx::query_scalar(REVOKE_KEY)
                .persistent(transaction.prepares)
                .bind(id.as_str())
                .bind(authorship.at.micros())
                .bind(authorship.actor.as_str())
                .bind(authorship.reason.as_str())
                .fetch_one(&mut transaction.connection)
                .await?;
            transaction.commit().await?;
            Ok::<_, ReadError>(found)
        };
        Ok(within(Purpose::Glance.limit(), revoked).await?)
    }
}

impl PostgresStore {
    async fn read_keys<R, K>(
        &self,
        statement: &'static str,
        key: impl Fn(R) -> Result<K, InconsistentRow> + Send,
    ) -> Result<Vec<K>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
        K: Send,
    {
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Glance).await?;
            let prepares = transaction.prepares;
            let rows: Vec<R> =
                sqlx::query_as(statement).persistent(prepares).fetch_all(&mut transaction.connection).await?;
            transaction.commit().await?;
            Ok::<_, ReadError>(rows.into_iter().map(key).collect::<Result<_, _>>()?)
        };
        Ok(within(Purpose::Glance.limit(), read).await?)
    }
}
