//! What is wrong with a configuration, all of it, each with its place.
//!
//! It does not know YAML or the keys; it only says things in order.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line(u64),
    /// A `key=value` word of the command line.
    CommandLine(String),
    /// Nowhere: a key that is missing.
    Absent,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Where.
    pub place: Place,
    /// What was found, what was expected, how to mend it.
    pub message: String,
}

/// Everything that is wrong with one configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigIssues {
    /// The file's name as the user wrote it.
    pub file: String,
    /// Never empty.
    pub issues: Vec<Issue>,
}

impl fmt::Display for ConfigIssues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match &issue.place {
                Place::Line(line) => write!(f, "{}:{line}: {}", self.file, issue.message)?,
                Place::CommandLine(word) => write!(f, "command line, `{word}`: {}", issue.message)?,
                Place::Absent => write!(f, "{}: {}", self.file, issue.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigIssues {}
