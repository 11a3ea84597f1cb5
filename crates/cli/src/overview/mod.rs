//! A whole data set at a glance: in the terminal, or as one self-contained page.
//!
//! In: files, and how samples are made of their records. Out: an [`Overview`](collect::Overview) of all of them, and for
//! the page the conversations that it can hold. Counts are those of `prepare`.

mod choose;
pub(crate) mod collect;
mod counts;
mod hold;
mod made;
pub(crate) mod page;
mod shown;
pub(crate) mod text;
