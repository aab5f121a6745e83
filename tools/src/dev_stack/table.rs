//! Tables for people.

use comfy_table::{Table, presets};

use super::progress::{Colour, paint};

/// A table under construction.
pub(crate) struct Rows {
    table: Table,
    coloured: Vec<(String, Colour)>,
}

impl Rows {
    pub(crate) fn under(header: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(header);
        Self {
            table,
            coloured: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, cells: &[&str]) {
        self.table.add_row(cells);
    }

    /// A row in which one cell stands out.
    pub(crate) fn add_coloured(&mut self, cells: &[&str], bright: &str, colour: Colour) {
        self.add(cells);
        self.coloured.push((bright.to_owned(), colour));
    }

    /// The table as text. Colour comes last, because the table would count it as width.
    pub(crate) fn finish(self) -> String {
        let mut text = self.table.to_string();
        for (bright, colour) in self.coloured {
            text = text.replace(&format!("┆ {bright} "), &format!("┆ {} ", paint(colour, &bright)));
        }
        text
    }
}
