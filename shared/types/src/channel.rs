//! The closed set of channels: how something reached us.

use std::fmt;

/// A text that names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected one of web_survey, email, phone, in_person, social, website, wechat, call_centre, live_chat, bot, community, store, app, other"
)]
pub struct ChannelError;

macro_rules! channels {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// How something reached us; stored as short text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Channel {
            $(#[doc = $text] $name,)*
        }

        impl Channel {
            /// All channels.
            pub const ALL: &'static [Channel] = &[$(Channel::$name),*];

            /// The short text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Channel::$name => $text,)* }
            }

            /// Reads the short text.
            ///
            /// # Errors
            /// [`ChannelError`] for any other text.
            pub fn parse(text: &str) -> Result<Self, ChannelError> {
                match text { $($text => Ok(Channel::$name),)* _ => Err(ChannelError) }
            }
        }
    };
}

channels! {
    WebSurvey = "web_survey",
    Email = "email",
    Phone = "phone",
    InPerson = "in_person",
    Social = "social",
    Website = "website",
    Wechat = "wechat",
    CallCentre = "call_centre",
    LiveChat = "live_chat",
    Bot = "bot",
    Community = "community",
    Store = "store",
    App = "app",
    Other = "other",
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
