use super::Reached;
use crate::{error::Result, features::Backend};
pub async fn note(_: &Backend, _: &[Reached]) -> Result<()> {
    Ok(())
}
