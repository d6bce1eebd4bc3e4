//! Choices by name.

/// Gives an enum its names: `Display`, and `FromStr` that lists them when a word is none of them. Files have the same
/// names through serde's `rename_all`.
macro_rules! choice {
    ($choice:ident, $what:literal, $first:literal => $first_variant:ident $(, $name:literal => $variant:ident)* $(,)?) => {
        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self {
                    Self::$first_variant => $first,
                    $(Self::$variant => $name,)*
                })
            }
        }

        impl std::str::FromStr for $choice {
            type Err = $crate::Error;

            fn from_str(name: &str) -> $crate::Result<Self> {
                match name {
                    $first => Ok(Self::$first_variant),
                    $($name => Ok(Self::$variant),)*
                    _ => Err($crate::Error::UnknownName {
                        what: $what,
                        got: name.to_owned(),
                        names: concat!($first $(, ", ", $name)*),
                    }),
                }
            }
        }
    };
}

pub(crate) use choice;
