//! Tables without lines. On a terminal columns are left out by rank until the others fit; a value is never cut.

use std::io::{self, Write};

/// Set between columns.
const GAP: usize = 2;

/// A column.
pub(super) struct Column {
    title: &'static str,
    /// Of several that do not fit together those of a higher rank are left out first, all of one rank at once.
    /// Those of rank 0 stay.
    rank: u8,
    right: bool,
}

impl Column {
    /// A column of words.
    pub(super) const fn left(title: &'static str, rank: u8) -> Self {
        let right = false;
        Self { title, rank, right }
    }

    /// A column of numbers.
    pub(super) const fn right(title: &'static str, rank: u8) -> Self {
        let right = true;
        Self { title, rank, right }
    }
}

/// A line of a table.
pub(super) enum Row {
    /// One cell a column.
    Cells(Vec<String>),
    /// A sentence in the place of rows.
    Note(String),
}

/// Writes a table, each column as wide as its widest cell.
pub(super) fn write_grid(
    columns: &[Column],
    rows: &[Row],
    width: Option<u16>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let titles: Vec<String> = columns.iter().map(|one| one.title.to_owned()).collect();
    let widths = widths(&titles, rows);
    let shown = fitting(columns, &widths, width);
    write_cells(columns, &shown, &widths, &titles, out)?;
    for row in rows {
        match row {
            Row::Cells(cells) => write_cells(columns, &shown, &widths, cells, out)?,
            Row::Note(note) => writeln!(out, "{note}")?,
        }
    }
    Ok(())
}

fn widths(titles: &[String], rows: &[Row]) -> Vec<usize> {
    let length = |cell: &String| cell.chars().count();
    let mut widths: Vec<usize> = titles.iter().map(length).collect();
    for row in rows {
        let Row::Cells(cells) = row else { continue };
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = length(cell).max(*width);
        }
    }
    widths
}

/// The numbers of the columns that are shown.
fn fitting(columns: &[Column], widths: &[usize], width: Option<u16>) -> Vec<usize> {
    let Some(room) = width.map(usize::from) else {
        return (0..columns.len()).collect();
    };
    let mut ranks: Vec<u8> = columns.iter().map(|column| column.rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let mut shown: Vec<usize> = Vec::new();
    for rank in ranks {
        let of_rank = (0..columns.len()).filter(|index| columns[*index].rank == rank);
        let more: Vec<usize> = shown.iter().copied().chain(of_rank).collect();
        let needed: usize = more.iter().map(|index| widths[*index] + GAP).sum();
        if rank == 0 || needed <= room + GAP {
            shown = more;
        }
    }
    shown.sort_unstable();
    shown
}

fn write_cells(
    columns: &[Column],
    shown: &[usize],
    widths: &[usize],
    cells: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = String::new();
    for (place, index) in shown.iter().enumerate() {
        let blanks = widths[*index].saturating_sub(cells[*index].chars().count());
        let pad = " ".repeat(blanks);
        if place > 0 {
            line.push_str(&" ".repeat(GAP));
        }
        if columns[*index].right {
            line.push_str(&pad);
            line.push_str(&cells[*index]);
        } else {
            line.push_str(&cells[*index]);
            line.push_str(&pad);
        }
    }
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("WHO", 0),
        Column::right("NUMBER", 1),
        Column::left("WIDE", 3),
        Column::left("PLACE", 2),
    ];

    fn grid(width: Option<u16>) -> String {
        let row = |cells: [&str; 4]| Row::Cells(cells.map(str::to_owned).to_vec());
        let rows = [
            row(["nginx", "7", "a very long value", "here"]),
            Row::Note("and 3 more".to_owned()),
        ];
        let mut bytes = Vec::new();
        write_grid(&COLUMNS, &rows, width, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_are_right_aligned_and_nothing_is_left_out_without_a_width() {
        assert_eq!(
            grid(None),
            "WHO    NUMBER  WIDE               PLACE\nnginx       7  a very long value  here\nand 3 more\n"
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out_by_rank_and_never_cut() {
        assert_eq!(
            grid(Some(22)),
            "WHO    NUMBER  PLACE\nnginx       7  here\nand 3 more\n"
        );
        assert_eq!(grid(Some(4)), "WHO\nnginx\nand 3 more\n");
    }
}
