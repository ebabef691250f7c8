//! API keys.

use magistrate_identity::{ApiKey, ListedKey};
use magistrate_model::{Authorship, KeyId};
use magistrate_pap::rows::{self, KeyRow, ListedKeyRow};
use magistrate_pap::{Keys, StoreError};

use super::read_error::ReadError;
use super::statements::{ISSUE_KEY, KEYS, LISTED_KEYS, REVOKE_KEY};
use crate::store::SqliteStore;

impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = sqlx::query_as(KEYS).fetch_all(&self.policy).await.map_err(ReadError::from)?;
        Ok(rows.into_iter().map(|row: KeyRow| rows::api_key(row)).collect::<Result<_, _>>()?)
    }

    async fn listed_keys(&self) -> Result<Vec<ListedKey>, StoreError> {
        let rows = sqlx::query_as(LISTED_KEYS).fetch_all(&self.policy).await.map_err(ReadError::from)?;
        Ok(rows.into_iter().map(|row: ListedKeyRow| rows::listed_key(row)).collect::<Result<_, _>>()?)
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
