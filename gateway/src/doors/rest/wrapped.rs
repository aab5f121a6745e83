//! Answers that one part of the client reads bare and another under a key: both at once.

use serde::Serialize;
use shared::{
    account::User,
    chat::Chat,
    contact::{Contact, ContactRequest},
    media::Attachment,
    message::{Message, Reaction},
};
use utoipa::ToSchema;

macro_rules! wrapped {
    ($($(#[doc = $doc:literal])+ $name:ident { $key:ident: $inner:ident })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Serialize, ToSchema)]
        pub struct $name {
            #[serde(flatten)]
            pub bare: $inner,
            pub $key: $inner,
        }

        impl From<$inner> for $name {
            fn from(inner: $inner) -> Self {
                Self { bare: inner.clone(), $key: inner }
            }
        }
    )+};
}

wrapped! {
    /// An image, bare and as `attachment`.
    AttachmentAnswer { attachment: Attachment }
    /// A chat, bare and as `chat`.
    ChatAnswer { chat: Chat }
    /// A contact, bare and as `contact`.
    ContactAnswer { contact: Contact }
    /// A message, bare and as `message`.
    MessageAnswer { message: Message }
    /// A reaction, bare and as `reaction`.
    ReactionAnswer { reaction: Reaction }
    /// A request, bare and as `request`.
    RequestAnswer { request: ContactRequest }
    /// A person, bare and as `user`.
    UserAnswer { user: User }
}
