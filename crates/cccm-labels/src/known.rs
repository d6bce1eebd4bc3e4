//! What is known of labels before the data are looked at.

use crate::text::form;
use crate::{Error, LabelKind, Result, Vocabulary, usual_kind};

/// What is known of the labels of some data before they are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownLabels {
    /// What the kinds are called, in order: their labels are to be found.
    Kinds(Vec<String>),
    /// Everything.
    All(Vocabulary),
}

impl Default for KnownLabels {
    /// The two kinds of published data, attribute and object.
    fn default() -> Self {
        Self::Kinds((0..2).map(usual_kind).collect())
    }
}

impl KnownLabels {
    /// Reads kinds as they are typed, each `NAME` or `NAME=LABEL,LABEL…`, in order.
    ///
    /// ```
    /// use cccm_labels::KnownLabels;
    ///
    /// let KnownLabels::All(vocabulary) = KnownLabels::parse(&["colour=red,green", "size=small,large"])? else { panic!() };
    /// assert_eq!(vocabulary.summary(), "colours: red, green; sizes: small, large");
    /// assert_eq!(KnownLabels::parse(&["colour", "size"])?.form(), "<colour>_<size>");
    /// # Ok::<(), cccm_labels::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::SomeKindsWithLabels`] when some have labels and others do not; as [`Vocabulary::validate`].
    pub fn parse<S: AsRef<str>>(kinds: &[S]) -> Result<Self> {
        let typed: Vec<(&str, Option<&str>)> = kinds
            .iter()
            .map(|kind| match kind.as_ref().split_once('=') {
                Some((kind, labels)) => (kind, Some(labels)),
                None => (kind.as_ref(), None),
            })
            .collect();
        let named = typed.iter().filter(|(_, labels)| labels.is_some()).count();
        if named != 0 && named != typed.len() {
            let without = typed.iter().find(|(_, labels)| labels.is_none());
            let kind = without.map_or_else(String::new, |(kind, _)| (*kind).to_owned());
            return Err(Error::SomeKindsWithLabels { kind });
        }
        // A placeholder, where labels are still to be found, lets the same checks see the names of the kinds.
        let kinds =
            typed.iter().map(|(kind, labels)| LabelKind::new(*kind, labels.unwrap_or("?").split(',')));
        let vocabulary = Vocabulary::new(kinds)?;
        if named > 0 {
            return Ok(Self::All(vocabulary));
        }
        Ok(Self::Kinds(typed.into_iter().map(|(kind, _)| kind.to_owned()).collect()))
    }

    /// What names of folders look like that spell these labels, as `<attribute>_<object>`.
    pub fn form(&self) -> String {
        match self {
            Self::Kinds(kinds) => form(kinds.iter().map(String::as_str)),
            Self::All(vocabulary) => vocabulary.form(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_with_labels_or_without() {
        let parse = |kinds: &[&str]| KnownLabels::parse(kinds);
        assert_eq!(parse(&["class"]).unwrap(), KnownLabels::Kinds(vec!["class".to_owned()]));
        assert_eq!(parse(&["a=x,y", "b"]), Err(Error::SomeKindsWithLabels { kind: "b".to_owned() }));
        for bad in [&[][..], &["a", "a"], &["a=x,x"], &["a="], &["=x"], &["a,b"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        // What stands behind the first `=` is labels, which may have others.
        let KnownLabels::All(odd) = parse(&["a=x=1,y=2"]).unwrap() else { panic!("labels are given") };
        assert_eq!(odd.kinds()[0].names, ["x=1", "y=2"]);
    }
}
