//! Answers that are kept as files. `UPDATE_GOLDEN=1` rewrites them; the difference is to be read before it is
//! committed.

use std::path::Path;

/// Compares answers with the files that keep them.
pub(crate) struct Golden {
    rewrites: bool,
    differ: Vec<String>,
}

impl Golden {
    pub(crate) fn new() -> Self {
        Self {
            rewrites: std::env::var_os("UPDATE_GOLDEN").is_some(),
            differ: Vec::new(),
        }
    }

    pub(crate) fn compare(&mut self, file: &Path, answer: String) {
        if self.rewrites {
            std::fs::write(file, answer).expect("the folder can be written");
        } else if std::fs::read_to_string(file).ok() != Some(answer) {
            self.differ.push(file.display().to_string());
        }
    }

    /// Fails where an answer is another.
    pub(crate) fn end(self) {
        let differ = self.differ;
        assert!(
            differ.is_empty(),
            "these answers changed; see what UPDATE_GOLDEN=1 makes of them: {differ:#?}"
        );
    }
}
