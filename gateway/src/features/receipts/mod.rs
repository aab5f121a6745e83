pub mod arrivals;
pub mod mark_delivered;
pub use self::arrivals::Arrivals;
use shared::{ChatId, UserId, topic::Seq};

#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub chat: ChatId,
    pub user: UserId,
    pub upto: Seq,
}
