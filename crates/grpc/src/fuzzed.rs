//! What fuzz targets do with their input, and plain tests with the corpora they left: whatever bytes a peer sends are a
//! query within its bounds, or a refusal that fits into headers.

use magistrate_model::{Bounds, Caller, Channel};
use magistrate_proto::v1::{CheckBatchRequest, CheckRequest};
use prost::Message as _;

use crate::batch::batch;
use crate::query::{Asking, query as query_of};
use crate::status::{Refusal, status};

/// The bytes of a message.
///
/// # Panics
/// Where what comes of them is neither a query within its bounds nor a refusal that fits into headers.
pub fn query(bytes: &[u8]) {
    for address in [[127, 0, 0, 1], [192, 0, 2, 1]] {
        let caller = Caller { address: Some(address.into()), channel: Channel::Grpc, key: None, trace: None };
        let asking = Asking { caller, default_namespace: "Company" };
        if let Ok(request) = CheckRequest::decode(bytes) {
            match query_of(&request, &asking) {
                Ok(query) => assert_eq!(Bounds::REQUEST.check("it", &query.context), Ok(())),
                Err(refusal) => assert!(fits(&refusal)),
            }
        }
        if let Ok(request) = CheckBatchRequest::decode(bytes) {
            assert!(batch(&request, &asking).err().is_none_or(|refusal| fits(&refusal)));
        }
    }
}

/// Whether a status fits into the headers that common clients accept.
pub(crate) fn fits(refusal: &Refusal) -> bool {
    let status = status(refusal);
    status.message().len() * 3 + status.details().len() * 4 / 3 < 8 * 1024
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus_is_replayed() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/query");
        let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        files.iter().for_each(|file| super::query(&std::fs::read(file).unwrap()));
        assert!(files.len() >= 20, "{} files", files.len());
    }
}
