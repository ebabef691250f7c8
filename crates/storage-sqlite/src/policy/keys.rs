//! API keys.

use magistrate_identity::ApiKey;
use magistrate_model::{Authorship, KeyId};
use magistrate_pap::rows::{self, KeyRow};
use magistrate_pap::{Keys, StoreError};

use super::read_error::ReadError;
use super::statements::{ISSUE_KEY, KEYS, LISTED_KEYS, REVOKE_KEY};
use crate::store::SqliteStore;

impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(read(self, KEYS).await?)
    }

    async fn listed_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(read(self, LISTED_KEYS).await?)
    }

    async fn issue_key(&self, key: &ApiKey, authorship: &Authorship) -> Result<(), StoreError> {
        let issued = sqlx::query(ISSUE_KEY)
            .bind(key.id.as_str())
            .bind(key.caller.as_str())
            .bind(key.hash.as_bytes().as_slice())
            .bind(key.kind.name())
            .bind(key.created_at.micros())
            .bind(key.expires_at.micros())
            .bind(authorship.actor.as_str())
            .bind(authorship.reason.as_str())
            .execute(&self.policy)
            .await;
        issued.map(drop).map_err(|error| ReadError::from(error).into())
    }

    async fn revoke_key(&self, id: &KeyId, authorship: &Authorship) -> Result<bool, StoreError> {
        let revoked = sqlx::query(REVOKE_KEY)
            .bind(id.as_str())
            .bind(authorship.at.micros())
            .bind(authorship.actor.as_str())
            .bind(authorship.reason.as_str())
            .execute(&self.policy)
            .await;
        revoked.map(|done| done.rows_affected() > 0).map_err(|error| ReadError::from(error).into())
    }
}

async fn read(store: &SqliteStore, statement: &'static str) -> Result<Vec<ApiKey>, ReadError> {
    let rows: Vec<KeyRow> = sqlx::query_as(statement).fetch_all(&store.policy).await?;
    Ok(rows.into_iter().map(rows::api_key).collect::<Result<_, _>>()?)
}
