//! Closed lists of words: enums whose values have a name that is stored, typed or linked to and never changes.

/// An enum with every value in `ALL`, its stable `name`, and `parse`, which reads it; with `label`, the words for
/// people, if a second text follows the name.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            $vis const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// Its stable name.
            $vis const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the stable name.
            $vis fn parse(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == text)
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$vdoc:meta])* $variant:ident = $text:literal, $label:literal;)+
    }) => {
        $crate::base::words::words! { $(#[$doc])* $vis enum $name { $($(#[$vdoc])* $variant = $text;)+ } }

        impl $name {
            /// Words for people.
            $vis const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

pub(crate) use words;
