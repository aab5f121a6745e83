use clap::Args;
use shared::secret::Secret;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Object storage (S3, MinIO)")]
pub struct Storage {
    /// Where the object storage answers; addressed path style.
    #[arg(
        id = "s3-endpoint",
        long = "s3-endpoint",
        env = "S3_ENDPOINT",
        value_name = "http://host:9000"
    )]
    pub endpoint: String,

    /// The region to sign for.
    #[arg(
        id = "s3-region",
        long = "s3-region",
        env = "S3_REGION",
        default_value = "us-east-1",
        value_name = "NAME"
    )]
    pub region: String,

    /// The bucket for images; made when it is missing.
    #[arg(
        id = "s3-bucket",
        long = "s3-bucket",
        env = "S3_BUCKET",
        default_value = "messenger",
        value_name = "NAME"
    )]
    pub bucket: String,

    /// Who we are there.
    #[arg(
        id = "s3-access-key-id",
        long = "s3-access-key-id",
        env = "S3_ACCESS_KEY_ID",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub access_key_id: String,

    /// And how we prove it.
    #[arg(
        id = "s3-secret-access-key", long = "s3-secret-access-key",
        env = "S3_SECRET_ACCESS_KEY",
        hide_env_values = true,
        value_parser = super::secret,
        value_name = "SECRET"
    )]
    pub secret_access_key: Secret<String>,

    /// Serve images from here instead of through the gateway: a CDN, or the bucket's public address, such as https://cdn.example/bucket.
    #[arg(
        id = "s3-public-url",
        long = "s3-public-url",
        env = "S3_PUBLIC_URL",
        value_name = "URL"
    )]
    pub public_url: Option<String>,
}
