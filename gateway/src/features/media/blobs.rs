//! The object storage: S3, MinIO or anything that speaks like them.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use tracing::{info, warn};

use super::fetch::{FOR_EVER, Part};
use crate::{
    config,
    error::{Error, Result},
};

const CONNECT: Duration = Duration::from_secs(2);
/// How long one attempt may take; a storage that is away must not hold up whoever asks.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long storing may take with all attempts. The client gives up after fifteen seconds.
const STORING: Duration = Duration::from_secs(8);
/// After it did not answer, this long nobody is sent there with an image.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// What is kept under a key, or a part of it.
pub struct Blob {
    pub body: ByteStream,
    /// The bytes of this part.
    pub length: u64,
    /// Which part it is, as HTTP says it; nothing, if it is all.
    pub part: Option<String>,
}

/// What was found under a key.
pub enum Found {
    Blob(Blob),
    Nothing,
    /// It is there, but it ends before the part that was asked for.
    NoSuchPart,
}

#[derive(Clone)]
pub struct Blobs {
    client: Client,
    bucket: String,
    /// When it last did not answer.
    away: Arc<Mutex<Option<Instant>>>,
}

impl Blobs {
    pub fn new(config: &config::Storage) -> Self {
        let key = &config.secret_access_key;
        let credentials = Credentials::new(&config.access_key_id, key.expose(), None, None, "settings");
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(STORING)
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
            away: Arc::default(),
        }
    }

    /// Is the bucket there?
    pub async fn check(&self) -> Result<()> {
        let asked = self.client.head_bucket().bucket(&self.bucket).send().await;
        asked.map(drop).map_err(unavailable)
    }

    /// Is it worth sending something? So that nobody uploads ten megabytes to learn what we know already.
    pub fn expect_it_there(&self) -> Result<()> {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match away {
            Some(since) if since.elapsed() < LEFT_ALONE => Err(Error::unavailable(
                "the object storage did not answer a moment ago",
            )),
            _ => Ok(()),
        }
    }

    /// Keep an image under a key that nobody can guess. What was kept is never changed.
    pub async fn put(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<()> {
        let put = async || {
            self.client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .content_type(content_type)
                .cache_control(FOR_EVER)
                .content_disposition("inline")
                .body(bytes.clone().into())
                .customize()
                // A checksum goes with it anyway, and a digest of ten megabytes would keep a thread for too long.
                .disable_payload_signing()
                .send()
                .await
        };
        let mut outcome = put().await;
        if let Err(error) = &outcome
            && code(error) == Some("NoSuchBucket")
        {
            self.make_bucket().await?;
            outcome = put().await;
        }
        let away = outcome.is_err().then(Instant::now);
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
        outcome.map(drop).map_err(unavailable)
    }

    pub async fn get(&self, key: &str, part: Option<Part>) -> Result<Found> {
        let asked = self.client.get_object().bucket(&self.bucket).key(key);
        let asked = asked.set_range(part.map(|part| part.to_string()));
        match asked.send().await {
            Ok(object) => Ok(Found::Blob(Blob {
                length: length(object.content_length)?,
                part: object.content_range.filter(|_| part.is_some()),
                body: object.body,
            })),
            Err(error) => match code(&error) {
                Some("NoSuchKey" | "NoSuchBucket") => Ok(Found::Nothing),
                Some("InvalidRange") => Ok(Found::NoSuchPart),
                _ => Err(unavailable(error)),
            },
        }
    }

    /// How many bytes are kept under a key.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
        {
            Ok(object) => length(object.content_length).map(Some),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Remove an image; it may be gone already.
    pub async fn remove(&self, key: &str) -> Result<()> {
        match self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
        {
            Err(error) if !matches!(code(&error), Some("NoSuchKey" | "NoSuchBucket")) => {
                Err(unavailable(error))
            }
            _ => Ok(()),
        }
    }

    /// Make the bucket if it is missing; keep trying while the storage is away.
    pub async fn ensure_bucket(&self) {
        let mut wait = Duration::from_secs(1);
        while self.check().await.is_err() {
            if let Err(error) = self.make_bucket().await {
                warn!(
                    bucket = self.bucket,
                    ?error,
                    ?wait,
                    "The object storage is away, images cannot be stored"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(30));
            }
        }
    }

    async fn make_bucket(&self) -> Result<()> {
        match self.client.create_bucket().bucket(&self.bucket).send().await {
            Ok(_) => info!(bucket = self.bucket, "Made the bucket for images"),
            // Another replica was faster.
            Err(error)
                if matches!(
                    code(&error),
                    Some("BucketAlreadyOwnedByYou" | "BucketAlreadyExists")
                ) => {}
            Err(error) => return Err(unavailable(error)),
        }
        Ok(())
    }
}

impl Blob {
    /// The bytes, as they come.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold(self.body, async |mut body| {
            let next = body.try_next().await.map_err(io::Error::other)?;
            Ok(next.map(|bytes| (bytes, body)))
        })
    }
}

fn length(said: Option<i64>) -> Result<u64> {
    said.and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| Error::unavailable("the object storage did not say how long an object is"))
}

/// What the storage says is wrong, if it says anything.
fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

fn unavailable<E>(error: SdkError<E>) -> Error
where
    SdkError<E>: std::error::Error + Send + Sync + 'static,
{
    Error::unavailable(DisplayErrorContext(error).to_string())
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}
