//! The macro that makes a catalogue, and the trait of everything that can be said in a language.

use super::Lang;

/// Something that reads differently in each language.
pub trait Say {
    /// Returns the text in `lang`.
    fn say(&self, lang: Lang) -> String;
}

macro_rules! say_by_display {
    ($($ty:ty),* $(,)?) => {
        $(impl Say for $ty {
            fn say(&self, _: Lang) -> String { self.to_string() }
        })*
    };
}

say_by_display!(String, &str, u16, u32, u64, usize, i32, i64, char, std::net::IpAddr);
say_by_display!(crate::model::Port, crate::model::PortRange, crate::model::Protocol);

impl Say for std::path::PathBuf {
    fn say(&self, _: Lang) -> String {
        self.display().to_string()
    }
}

impl<T: Say> Say for Box<T> {
    fn say(&self, lang: Lang) -> String {
        (**self).say(lang)
    }
}

/// Declares an enum of messages: each variant has named fields that [`Say`] something, an English text and a Chinese
/// text. Texts name fields in braces, as `format!` does; a field may be left out of a text.
macro_rules! catalogue {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($variant:ident $({ $($field:ident : $ty:ty),* $(,)? })? => $en:literal, $zh:literal;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $(
                #[doc = concat!("The message `", stringify!($variant), "`.")]
                $variant $({
                    $(
                        #[doc = concat!("What stands for `{", stringify!($field), "}`.")]
                        $field: $ty
                    ),*
                })?
            ),*
        }

        impl $crate::words::Say for $name {
            fn say(&self, lang: $crate::words::Lang) -> String {
                match self {
                    $(
                        Self::$variant $({ $($field),* })? => {
                            $($(let $field = $crate::words::Say::say($field, lang);)*)?
                            let text = match lang {
                                $crate::words::Lang::En => format!($en),
                                $crate::words::Lang::ZhCn => format!($zh),
                            };
                            $($(drop($field);)*)?
                            text
                        }
                    )*
                }
            }
        }
    };
}
pub(crate) use catalogue;
