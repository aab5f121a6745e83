//! The object storage: S3, MinIO or anything that speaks like them.

use std::{fmt, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::DisplayErrorContext,
    operation::get_object::GetObjectError,
};
use bytes::Bytes;
use tracing::{info, warn};

use crate::{
    config,
    error::{Error, Result},
};

/// How long one attempt may take; a storage that is away must not hold up whoever asks.
const ATTEMPT: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);

/// What is kept under a key.
#[derive(Clone, Debug)]
pub struct Blob {
    pub content_type: String,
    pub bytes: Bytes,
}

#[derive(Clone)]
pub struct Blobs {
    client: Client,
    bucket: String,
}

impl Blobs {
    pub fn new(config: &config::Storage) -> Self {
        let key = &config.secret_access_key;
        let credentials = Credentials::new(&config.access_key_id, key.expose(), None, None, "settings");
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let settings = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&config.endpoint)
            .region(Region::new(config.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(true)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .build();
        Self {
            client: Client::from_conf(settings),
            bucket: config.bucket.clone(),
        }
    }

    /// Is the bucket there?
    pub async fn check(&self) -> Result<()> {
        let asked = self.client.head_bucket().bucket(&self.bucket).send().await;
        asked
            .map(drop)
            .map_err(|error| Error::unavailable(DisplayErrorContext(error).to_string()))
    }

    /// Keep an image under a key that nobody can guess. What was kept is never changed.
    pub async fn put(&self, key: &str, content_type: &str, bytes: Vec<u8>) -> Result<()> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(bytes.into());
        put.send()
            .await
            .map(drop)
            .map_err(|error| Error::unavailable(DisplayErrorContext(error).to_string()))
    }

    pub async fn get(&self, key: &str) -> Result<Option<Blob>> {
        let object = match self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
        {
            Ok(object) => object,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetObjectError::is_no_such_key) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Error::unavailable(DisplayErrorContext(error).to_string())),
        };
        let content_type = object
            .content_type
            .unwrap_or_else(|| "application/octet-stream".to_owned());
        let bytes = object
            .body
            .collect()
            .await
            .map_err(Error::unavailable)?
            .into_bytes();
        Ok(Some(Blob { content_type, bytes }))
    }

    /// Remove an image. Nobody waits for it and nothing depends on it: a failure leaves an object that nobody refers to.
    pub async fn remove(&self, key: &str) {
        if let Err(error) = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
        {
            warn!(key, error = %DisplayErrorContext(error), "Cannot remove an image");
        }
    }

    /// Make the bucket if it is missing; keep trying while the storage is away.
    pub async fn ensure_bucket(&self) {
        let mut wait = Duration::from_secs(1);
        loop {
            let Err(error) = self.check().await else { return };
            match self.client.create_bucket().bucket(&self.bucket).send().await {
                Ok(_) => info!(bucket = self.bucket, "Made the bucket for images"),
                // Another replica was faster.
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|e| e.is_bucket_already_owned_by_you()) => {}
                Err(_) => warn!(
                    bucket = self.bucket,
                    ?error,
                    ?wait,
                    "The object storage is away, images cannot be stored"
                ),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(30));
        }
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}
